//! Tests of [`super`]: what answers mean. How the nodes are asked is tested against real ones.

use super::*;

fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

fn node(host: Value, port: i64) -> Value {
    Value::Array(vec![
        host,
        Value::Int(port),
        text("id"),
        Value::Array(vec![]),
    ])
}

fn range(from: i64, to: i64, nodes: Vec<Value>) -> Value {
    let slots = [Value::Int(from), Value::Int(to)];
    Value::Array(slots.into_iter().chain(nodes).collect())
}

#[test]
fn the_slots_of_a_cluster_are_read_by_primary() {
    let (a, b) = (|| node(text("10.0.0.1"), 1), || node(text("10.0.0.2"), 2));
    let told = Value::Array(vec![
        range(
            200,
            299,
            vec![a(), node(text("10.0.0.4"), 4), node(text("10.0.0.3"), 3)],
        ),
        range(100, 199, vec![b()]),
        range(
            0,
            99,
            vec![a(), node(text("10.0.0.3"), 3), node(text("10.0.0.4"), 4)],
        ),
    ]);
    let view = read_slots(told, "unused").expect("a view");
    let address = |n: u16| NodeAddress::new(format!("10.0.0.{n}"), n);
    let expected = View {
        shards: vec![
            ShardView {
                primary: address(1),
                replicas: vec![address(3), address(4)],
                slots: vec![(0, 99), (200, 299)],
            },
            ShardView {
                primary: address(2),
                replicas: vec![],
                slots: vec![(100, 199)],
            },
        ],
    };
    assert_eq!(view, expected);
    let nodes: Vec<u16> = view.nodes().map(|node| node.port).collect();
    assert_eq!(nodes, [1, 2, 3, 4]);
}

/// A node that does not know its own address says nothing, or `?`.
#[test]
fn a_nameless_node_is_at_the_host_that_was_asked() {
    for nameless in [Value::Nil, text(""), text("?")] {
        let told = Value::Array(vec![range(0, 16_383, vec![node(nameless, 7)])]);
        let view = read_slots(told, "asked").expect("a view");
        assert_eq!(view.shards[0].primary, NodeAddress::new("asked", 7));
    }
}

#[test]
fn a_cluster_without_slots_or_sense_is_told() {
    for told in [
        Value::Array(vec![]),
        Value::Array(vec![range(0, 1, vec![])]),
        Value::Array(vec![Value::Array(vec![text("x")])]),
        Value::Okay,
    ] {
        assert!(read_slots(told.clone(), "host").is_err(), "{told:?}");
    }
}

#[test]
fn roles_are_read() {
    let primary = vec![text("master"), Value::Int(7), Value::Array(vec![])];
    let replica = |state| -> Vec<Value> {
        let of = [text("slave"), text("127.0.0.1"), Value::Int(1)];
        of.into_iter().chain([text(state), Value::Int(7)]).collect()
    };
    assert_eq!(read_role(&primary), Role::Primary);
    assert_eq!(
        read_role(&replica("connected")),
        Role::Replica { in_sync: true }
    );
    assert_eq!(
        read_role(&replica("sync")),
        Role::Replica { in_sync: false }
    );
    assert_eq!(read_role(&[text("sentinel")]), Role::Other);
    assert_eq!(read_role(&[]), Role::Other);
}

#[test]
fn only_a_replica_in_good_health_counts() {
    let replica = |flags: &str, link: &str| {
        let fields = [
            ("ip", "::1"),
            ("port", "7"),
            ("flags", flags),
            ("master-link-status", link),
        ];
        healthy_replica(
            &fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        )
    };
    assert_eq!(replica("slave", "ok"), Some(NodeAddress::new("::1", 7)));
    assert_eq!(replica("slave,s_down", "ok"), None);
    assert_eq!(replica("slave,disconnected", "ok"), None);
    assert_eq!(replica("slave", "err"), None);
    assert_eq!(healthy_replica(&HashMap::new()), None);
}
