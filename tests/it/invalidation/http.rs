//! The HTTP face of broad invalidation, and a scenario's mix that asks for it.

use std::sync::Arc;
use std::time::Duration;

use cachestorm::drivers::http::face::{build_path, method_of};
use cachestorm::engine::event::Unobserved;
use cachestorm::engine::invalidation::InvalidationConfig;
use cachestorm::engine::layer::Operation;
use cachestorm::engine::local::{LocalConfig, LocalPolicy};
use cachestorm::engine::remote::any::RemoteOptions;
use cachestorm::engine::remote::redis::RedisOptions;
use cachestorm::engine::resilience::Resilience;
use cachestorm::environment::instance::{Instance, InstanceConfig};
use cachestorm::seed::Seed;
use cachestorm::workload::{KeyParams, Request};
use reqwest::Client;

use crate::support::{CUSTOMER, INVENTORY, Stage};

async fn serve(stage: &Stage) -> Instance {
    let config = InstanceConfig {
        number: 0,
        policies: Arc::clone(&stage.policies),
        aside: None,
        local: Some(LocalConfig {
            entries: 100,
            bytes: None,
            policy: LocalPolicy::default(),
        }),
        remote: Some(RemoteOptions::Redis(RedisOptions {
            url: stage.redis.url().to_owned(),
            prefix: "test:".to_owned(),
            connections: 1,
            timeout: Duration::from_millis(500),
        })),
        resilience: Resilience::default(),
        invalidation: InvalidationConfig::default(),
        warming: None,
        clock: stage.clock.clone(),
        seed: Seed(1),
        observer: Arc::new(Unobserved),
    };
    Instance::start(config, stage.origin.clone())
        .await
        .expect("an instance")
}

/// Status and body.
async fn send(client: &Client, instance: &Instance, method: &str, path: &str) -> (u16, String) {
    let method = method.parse().expect("a method");
    let url = format!("{}{path}", instance.url());
    let response = client.request(method, url).send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.text().await.expect("a body"))
}

#[tokio::test]
async fn live_a_data_type_or_a_pattern_is_deleted_by_its_path() {
    let stage = Stage::new().await;
    let instance = serve(&stage).await;
    let client = Client::new();
    let read = async |n: u64| {
        let path = format!("/customer/{n}");
        send(&client, &instance, "GET", &path).await.1
    };
    let set_all = |value: &str| {
        for n in [17, 18, 25] {
            stage.origin.set(&format!("customer:360:{n}"), Some(value));
        }
    };
    set_all("one");
    for n in [17, 18, 25] {
        assert_eq!(read(n).await, "one");
    }
    set_all("two");
    let path = "/customer?pattern=customer:360:1*";
    assert_eq!(send(&client, &instance, "DELETE", path).await.0, 204);
    assert_eq!(
        [read(17).await, read(18).await, read(25).await],
        ["two", "two", "one"]
    );
    set_all("three");
    assert_eq!(send(&client, &instance, "DELETE", "/customer").await.0, 204);
    assert_eq!([read(17).await, read(25).await], ["three", "three"]);

    for (path, status) in [
        ("/nothing", 404),
        ("/customer?patern=*", 400),
        ("/customer?pattern=", 400),
        ("/rate_limit", 405),
    ] {
        let (answered, text) = send(&client, &instance, "DELETE", path).await;
        assert_eq!(answered, status, "{path}: {text}");
    }
}

/// What the driver asks for is what the face understands.
#[tokio::test]
async fn live_the_driver_and_the_face_agree() {
    let stage = Stage::new().await;
    let instance = serve(&stage).await;
    let client = Client::new();
    for (data_type, operation) in [
        (CUSTOMER, Operation::InvalidateAll),
        (CUSTOMER, Operation::InvalidatePattern),
        (INVENTORY, Operation::InvalidatePattern),
    ] {
        let request = Request {
            data_type,
            operation,
            params: KeyParams::new(&[17]),
        };
        let path = build_path(&stage.policies, &request);
        let method = method_of(operation);
        let (status, text) = send(&client, &instance, method.as_str(), &path).await;
        assert_eq!(status, 204, "{path}: {text}");
    }
}
