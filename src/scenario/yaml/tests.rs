//! That the tree says what the text says, with its places, and refuses what it should.

use super::*;

fn messages(text: &str) -> Vec<String> {
    let mut errors = Errors::default();
    let tree = read(text, &mut errors);
    assert!(
        tree.is_some() || !errors.is_empty(),
        "neither a tree nor an error"
    );
    let found = errors.of("a.yaml", text);
    found
        .iter()
        .map(|error| error.message().to_owned())
        .collect()
}

fn tree(text: &str) -> Node {
    let mut errors = Errors::default();
    let tree = read(text, &mut errors);
    assert!(errors.is_empty(), "{}", errors.of("a.yaml", text));
    tree.expect("a tree")
}

fn entries(node: &Node) -> &[(Key, Node)] {
    match &node.kind {
        Kind::Mapping(entries) => entries,
        _ => panic!("{} is no mapping", node.describe()),
    }
}

#[test]
fn every_value_knows_its_place() {
    let root = tree("\u{feff}a: 1\nbeta:\n  - \"zwölf\"\n  - { c: d e }\n");
    let at = |line, column, width| Place::Source {
        line,
        column,
        width,
    };
    assert_eq!(entries(&root)[0].1.place, at(1, 4, 1));
    assert_eq!(entries(&root)[1].0.place, at(2, 1, 4));
    let Kind::Sequence(items) = &entries(&root)[1].1.kind else {
        panic!("no list")
    };
    assert_eq!(items[0].place, at(3, 5, 7));
    assert_eq!(entries(&items[1])[0].1.place, at(4, 10, 3));
}

#[test]
fn anchors_work() {
    let root = tree("a: &x { b: 1 }\nc: *x\n");
    assert_eq!(&*entries(&entries(&root)[1].1)[0].0.text, "b");
}

#[test]
fn what_would_surprise_is_refused() {
    assert_eq!(
        messages("a: 1\nb: 2\na: 3\nb: 4\n"),
        ["the key `a` stands twice", "the key `b` stands twice"]
    );
    assert_eq!(
        messages("a: 1\n---\nb: 2\n"),
        ["a second document begins here"]
    );
    assert_eq!(messages("a: !!str 1\n"), ["a YAML tag stands here"]);
    assert_eq!(
        messages("a: 1\nb: \0\nc: 1"),
        ["a control character stands here"]
    );
    assert_eq!(
        messages("[a]: 1\n"),
        ["a key must be a word, not a list, a mapping or nothing"]
    );
    assert_eq!(
        messages("a: &x [*x]\n"),
        ["this alias stands inside what it names"]
    );
    assert!(messages("a: *nobody\n")[0].starts_with("this is not YAML"));
    assert!(messages("a: [1\n")[0].starts_with("this is not YAML"));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let last = format!("*a{}", level - 1);
        let line = format!("a{level}: &a{level} [{}]\n", [last.as_str(); 9].join(", "));
        bomb.push_str(&line);
    }
    assert_eq!(messages(&bomb), ["the scenario is too large from here on"]);
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(500_000),
        "*a, ".repeat(9_000)
    );
    assert_eq!(messages(&long), ["the scenario is too large from here on"]);
}

#[test]
fn depth_is_bounded() {
    let deep = format!("a: {}{}\n", "[".repeat(100), "]".repeat(100));
    assert_eq!(messages(&deep), ["values are nested more than 32 deep"]);
    let mut tower = "a0: &a0 [x]\n".to_owned();
    for level in 1..40 {
        tower = format!("{tower}a{level}: &a{level} [*a{}]\n", level - 1);
    }
    assert_eq!(messages(&tower), ["values are nested more than 32 deep"]);
}
