//! Requests to peers that behave and to peers that do not.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::face::InstanceFace;
use super::*;
use crate::engine::data_type::{DataType, DataTypeId, KeyPattern, Strategy};
use crate::engine::layer::Version;
use crate::measure::PhaseId;
use crate::units::ByteSize;
use crate::workload::{KeyParams, Request, UserKindId};

const HIT: &str =
    "HTTP/1.1 200 OK\r\ncache-status: local; hit\r\netag: \"17\"\r\ncontent-length: 2\r\n\r\n{}";
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn errors_keep_their_first_words_only() {
    let hush = |word: &str| word == "hush";
    let text = |body: &[u8]| status_text(StatusCode::GATEWAY_TIMEOUT, body, hush);
    insta::assert_snapshot!(text(b""), @"504");
    insta::assert_snapshot!(text(b"origin:  no answer\nat all"), @"504 origin: no answer");
    insta::assert_snapshot!(text(b"a b c d e f g h i j"), @"504 a b c d e f g h");
    insta::assert_snapshot!(text(b"\xff\xfe"), @"504 ��");
    insta::assert_snapshot!(text(b"no hush please"), @"504 no … please");
}

fn caller(urls: &[&str], connections_max: usize, timeout: Duration) -> HttpCaller<InstanceFace> {
    let key = "product:{product_id}".parse::<KeyPattern>().expect("a key");
    let row = DataType::new("product", key, Strategy::CacheAside, Duration::from_mins(1));
    let policies = Arc::new(PolicyTable::new(vec![row]));
    let face = InstanceFace {
        policies: Arc::clone(&policies),
        value_sizes: crate::workload::size::ValueSizes::constant(&[ByteSize(8)]),
    };
    let to = HttpTargets {
        urls: urls.iter().map(|&url| url.to_owned()).collect(),
        request_timeout: timeout,
        connections_max,
    };
    HttpCaller::new(face, policies, Clock::real(), &to).expect("good targets")
}

fn patient(url: &str) -> HttpCaller<InstanceFace> {
    caller(&[url], 100, PATIENCE)
}

async fn ask_for(
    caller: &HttpCaller<InstanceFace>,
    instance: usize,
    operation: Operation,
) -> Sample {
    let request = Request {
        data_type: DataTypeId(0),
        operation,
        params: KeyParams::new(&[5]),
    };
    let call = Call {
        instance,
        request: &request,
        user: 1,
        sequence: 2,
        user_kind: UserKindId::default(),
        phase: PhaseId(0),
        intended_start: caller.clock.now(),
        waited: Duration::ZERO,
    };
    caller.call(call).await
}

async fn get(caller: &HttpCaller<InstanceFace>) -> Sample {
    ask_for(caller, 0, Operation::Get).await
}

/// What became of a request, in short.
fn said(sample: &Sample) -> String {
    let told = || format!("{:?} {:?}", sample.outcome, sample.layer);
    sample.error.clone().unwrap_or_else(told)
}

/// A peer that does with each of its connections, numbered from 0, what it is told.
async fn peer<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(usize, TcpStream) -> F + Copy + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(serve(number, stream));
        }
    });
    format!("http://{address}")
}

/// The next request, as it was sent; nothing if the connection ends.
async fn hear(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut byte = [0];
    let mut missing = None;
    loop {
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        text.push(char::from(byte[0]));
        if let Some(missing) = &mut missing {
            *missing -= 1;
        } else if text.ends_with("\r\n\r\n") {
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            missing = Some(length.map_or(0, |length| length.parse().expect("a length")));
        }
        if missing == Some(0) {
            return Some(text);
        }
    }
}

/// Answers every request of a connection with `answer`.
async fn always(mut stream: TcpStream, answer: &str) {
    while hear(&mut stream).await.is_some() {
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A peer that answers every request with `answer`.
async fn answering(answer: &'static str) -> String {
    peer(move |_, stream| always(stream, answer)).await
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let (clock, mut looks) = (Clock::real(), 0);
    while !holds() {
        looks += 1;
        assert!(looks < 2_000, "never: {what}");
        clock.sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn requests_one_after_another_share_a_connection() {
    let caller = patient(&answering(HIT).await);
    assert_eq!(caller.gauge().read(), Connections::default());
    for _ in 0..50 {
        let sample = get(&caller).await;
        assert_eq!(said(&sample), "Hit Local");
        let (key, version) = sample.read.as_ref().expect("a value was read");
        assert_eq!((key.as_str(), *version), ("product:5", Version(17)));
        assert!(sample.sent <= sample.finished);
    }
    let (open, peak, opened) = (1, 1, 1);
    assert_eq!(caller.gauge().read(), Connections { open, peak, opened });
    let gauge = caller.gauge();
    drop(caller);
    assert_eq!(gauge.read().open, 0);
}

#[tokio::test]
async fn a_request_says_what_it_must_and_no_more() {
    let (out, mut heard) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        while let Some(text) = hear(&mut stream).await {
            let text = text.replace(&port.to_string(), "PORT");
            out.send(text.replace(env!("CARGO_PKG_VERSION"), "VERSION"))
                .expect("listened to");
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .await
                .expect("sent");
        }
    });
    let caller = patient(&format!("http://127.0.0.1:{port}/shop"));
    let mut text = String::new();
    for operation in [
        Operation::Get,
        Operation::Put,
        Operation::Invalidate,
        Operation::Admit,
    ] {
        ask_for(&caller, 0, operation).await;
        text.push_str(&heard.recv().await.expect("a request").replace('\r', ""));
    }
    insta::assert_snapshot!(text, @r#"
    GET /shop/product/5 HTTP/1.1
    host: 127.0.0.1:PORT
    user-agent: cachestorm/VERSION

    PUT /shop/product/5 HTTP/1.1
    host: 127.0.0.1:PORT
    user-agent: cachestorm/VERSION
    content-length: 8

    "abcdef"DELETE /shop/product/5 HTTP/1.1
    host: 127.0.0.1:PORT
    user-agent: cachestorm/VERSION

    POST /shop/product/5 HTTP/1.1
    host: 127.0.0.1:PORT
    user-agent: cachestorm/VERSION
    content-length: 0
    "#);
}

#[tokio::test]
async fn answers_of_every_shape_are_read_to_their_end() {
    const SHAPES: [(&str, &str, u64); 8] = [
        (HIT, "Hit Local", 1),
        (
            "HTTP/1.1 200 OK\r\ncache-status: local; hit\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\ntrailer: t\r\n\r\n",
            "Hit Local",
            1,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncache-status: remote; hit\r\ncontent-length: 0\r\n\r\n",
            "Hit Remote",
            1,
        ),
        (
            "HTTP/1.1 204 No Content\r\ncache-status: local; hit\r\n\r\n",
            "Hit Local",
            1,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n",
            "304",
            1,
        ),
        (
            "HTTP/1.1 503 Busy\r\ncontent-length: 21\r\n\r\npool  exhausted\nagain",
            "503 pool exhausted",
            1,
        ),
        // Those two end with their connections.
        (
            "HTTP/1.1 200 OK\r\ncache-status: local; hit\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
            "Hit Local",
            3,
        ),
        (
            "HTTP/1.0 200 OK\r\ncache-status: local; hit\r\ncontent-length: 2\r\n\r\n{}",
            "Hit Local",
            3,
        ),
    ];
    for (answer, meaning, opened) in SHAPES {
        let caller = patient(&answering(answer).await);
        for _ in 0..3 {
            assert_eq!(said(&get(&caller).await), meaning, "{answer}");
        }
        assert_eq!(caller.gauge().read().opened, opened, "{answer}");
    }
}

#[tokio::test]
async fn a_body_may_end_with_its_connection_or_come_in_many_pieces() {
    let until_closed = peer(|_, mut stream| async move {
        hear(&mut stream).await;
        let head = b"HTTP/1.1 500 Broken\r\n\r\n";
        stream.write_all(head).await.expect("sent");
        for word in ["a ", "b ", "c"] {
            stream.write_all(word.as_bytes()).await.expect("sent");
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(said(&get(&patient(&until_closed.await)).await), "500 a b c");
    let large = peer(|_, mut stream| async move {
        while hear(&mut stream).await.is_some() {
            let head =
                b"HTTP/1.1 200 OK\r\ncache-status: local; hit\r\ncontent-length: 3000000\r\n\r\n";
            stream.write_all(head).await.expect("sent");
            for _ in 0..300 {
                stream.write_all(&[b'x'; 10_000]).await.expect("sent");
            }
        }
    });
    let caller = patient(&large.await);
    for _ in 0..3 {
        assert_eq!(said(&get(&caller).await), "Hit Local");
    }
    assert_eq!(caller.gauge().read().opened, 1);
}

#[tokio::test]
async fn a_peer_that_closes_idle_connections_is_met_with_new_ones() {
    static CLOSED: AtomicUsize = AtomicUsize::new(0);
    let url = peer(|_, mut stream| async move {
        hear(&mut stream).await;
        stream.write_all(HIT.as_bytes()).await.expect("sent");
        drop(stream);
        CLOSED.fetch_add(1, Ordering::SeqCst);
    });
    let caller = patient(&url.await);
    for round in 1..=3_usize {
        // Two at once, so that two closed ones wait.
        let both = tokio::join!(get(&caller), get(&caller));
        assert_eq!(
            (said(&both.0), said(&both.1)),
            ("Hit Local".to_owned(), "Hit Local".to_owned())
        );
        until("closed", || CLOSED.load(Ordering::SeqCst) == 2 * round).await;
        // So long that somebody must look.
        caller.clock.sleep(2 * Duration::from_millis(10)).await;
    }
    assert_eq!(caller.gauge().read().opened, 6);
}

#[tokio::test]
async fn what_may_have_been_done_is_not_asked_again() {
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    const ANSWERS: [&str; 4] = [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nten bytes.",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe",
    ];
    let url = peer(|number, mut stream| async move {
        // A good answer first, so that what breaks is a connection that was used before.
        hear(&mut stream).await;
        stream.write_all(HIT.as_bytes()).await.expect("sent");
        hear(&mut stream).await;
        HEARD.fetch_add(1, Ordering::SeqCst);
        let answer = ANSWERS[number % ANSWERS.len()];
        stream.write_all(answer.as_bytes()).await.expect("sent");
    });
    let caller = patient(&url.await);
    for broken in 1..=ANSWERS.len() {
        assert_eq!(said(&get(&caller).await), "Hit Local");
        assert_eq!(
            said(&ask_for(&caller, 0, Operation::Put).await),
            "connection reset"
        );
        assert_eq!(HEARD.load(Ordering::SeqCst), broken);
        assert_eq!(caller.gauge().read().open, 0);
    }
}

#[tokio::test]
async fn a_reset_in_an_answer_is_an_error_and_the_next_request_goes_well() {
    let url = peer(|number, mut stream| async move {
        if number > 0 {
            return always(stream, HIT).await;
        }
        hear(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
        stream.write_all(head).await.expect("sent");
        stream.set_zero_linger().expect("set");
    });
    let caller = patient(&url.await);
    assert_eq!(said(&get(&caller).await), "connection reset");
    assert_eq!(said(&get(&caller).await), "Hit Local");
}

#[tokio::test]
async fn a_request_that_is_given_up_closes_its_connection() {
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    // Some say nothing, some begin.
    let url = peer(|number, mut stream| async move {
        hear(&mut stream).await;
        if number % 2 == 1 {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
            stream.write_all(head).await.expect("sent");
        }
        assert!(hear(&mut stream).await.is_none());
        ENDED.fetch_add(1, Ordering::SeqCst);
    });
    let url = url.await;
    let hasty = caller(&[&url], 100, Duration::from_millis(50));
    for ended in 1..=2 {
        assert_eq!(said(&get(&hasty).await), TIMED_OUT);
        assert_eq!(hasty.gauge().read().open, 0);
        until("the end of the connection", || {
            ENDED.load(Ordering::SeqCst) == ended
        })
        .await;
    }
    let dropped = patient(&url);
    for ended in 3..=4 {
        let limit = Duration::from_millis(50);
        assert!(dropped.clock.timeout(limit, get(&dropped)).await.is_err());
        assert_eq!(dropped.gauge().read().open, 0);
        until("the end of the connection", || {
            ENDED.load(Ordering::SeqCst) == ended
        })
        .await;
    }
}

#[tokio::test]
async fn nobody_there_and_nonsense_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let nobody = patient(&format!("http://{address}"));
    assert_eq!(said(&get(&nobody).await), "connection refused");
    assert_eq!(
        nobody.gauge().read(),
        Connections {
            open: 0,
            peak: 1,
            opened: 0
        }
    );
    let nonsense = patient(&answering("SSH-2.0-OpenSSH\r\n\r\n").await);
    insta::assert_snapshot!(said(&get(&nonsense).await), @"request failed: invalid HTTP version parsed");
    let unasked =
        patient(&answering("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").await);
    // The second answer answers nothing: it must not be taken for the next request's.
    assert_eq!(said(&get(&unasked).await), "Bypass Origin");
    assert_eq!(said(&get(&unasked).await), "Bypass Origin");
    assert_eq!(unasked.gauge().read().opened, 2);
    let named = patient(&format!("http://localhost:{}", address.port()));
    assert_eq!(said(&get(&named).await), "connection refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_share_as_many_connections_as_may_be_open() {
    static OPEN: AtomicUsize = AtomicUsize::new(0);
    static PEAK: AtomicUsize = AtomicUsize::new(0);
    let url = peer(|_, stream| async move {
        let open = OPEN.fetch_add(1, Ordering::SeqCst) + 1;
        PEAK.fetch_max(open, Ordering::SeqCst);
        always(stream, HIT).await;
        OPEN.fetch_sub(1, Ordering::SeqCst);
    });
    let caller = Arc::new(caller(&[&url.await], 4, PATIENCE));
    let crowd = (0..50).map(|_| {
        let caller = Arc::clone(&caller);
        tokio::spawn(async move {
            for _ in 0..20 {
                assert_eq!(said(&get(&caller).await), "Hit Local");
            }
        })
    });
    for user in join_all(crowd).await {
        user.expect("no panic");
    }
    assert_eq!(caller.gauge().read().peak, 4);
    assert_eq!(PEAK.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn who_finds_no_connection_waits_no_longer_than_for_an_answer() {
    let url = peer(|_, mut stream| async move { while hear(&mut stream).await.is_some() {} });
    let caller = caller(&[&url.await], 1, Duration::from_millis(50));
    let samples = join_all((0..3).map(|_| get(&caller))).await;
    assert!(samples.iter().all(|sample| said(sample) == TIMED_OUT));
    assert_eq!(caller.gauge().read().open, 0);
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_another_target() {
    let urls = [answering(HIT).await, answering(HIT).await];
    let caller = caller(&[&urls[0], &urls[1]], 1, PATIENCE);
    for turn in 0..6 {
        assert_eq!(
            said(&ask_for(&caller, turn % 2, Operation::Get).await),
            "Hit Local"
        );
    }
    let (open, peak, opened) = (1, 1, 6);
    assert_eq!(caller.gauge().read(), Connections { open, peak, opened });
}

#[tokio::test]
async fn connections_that_waited_long_are_closed_before_the_peer_does() {
    let caller = patient(&answering(HIT).await);
    let ask = |many: usize| join_all((0..many).map(|_| get(&caller)));
    let wait = async |seconds| {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
    };
    ask(10).await;
    assert_eq!(caller.gauge().read().open, 10);
    // The one in use stays young, the others grow old.
    for _ in 0..2 {
        wait(2).await;
        assert_eq!(said(&get(&caller).await), "Hit Local");
    }
    for _ in 0..9 {
        get(&caller).await;
    }
    assert_eq!(
        caller.gauge().read(),
        Connections {
            open: 1,
            peak: 10,
            opened: 10
        }
    );
    wait(4).await;
    assert_eq!(said(&get(&caller).await), "Hit Local");
    assert_eq!(
        caller.gauge().read(),
        Connections {
            open: 1,
            peak: 10,
            opened: 11
        }
    );
}

#[test]
fn what_the_generator_lacks_is_told_apart_from_what_the_service_does() {
    let said = |code| {
        let error = io::Error::from_raw_os_error(code);
        failure_text(&Failure::Connect(error))
    };
    assert_eq!(said(Errno::MFILE.raw_os_error()), NO_DESCRIPTORS);
    assert_eq!(said(Errno::NFILE.raw_os_error()), NO_DESCRIPTORS);
    assert_eq!(said(Errno::ADDRNOTAVAIL.raw_os_error()), NO_PORTS);
    assert_eq!(
        said(Errno::CONNREFUSED.raw_os_error()),
        "connection refused"
    );
}
