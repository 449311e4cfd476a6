//! How things end: by their TTL, and how that is put off.

use std::time::Duration;

use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{Entry, Fill, Leased, Remote, Token, Version};

use super::{BRIEF, LAG, Pair, TTL, entry, shows, until};

pub(super) async fn all<R: Remote>(pair: &Pair<R>) {
    Box::pin(entries_end(pair)).await;
    Box::pin(leases_end(pair)).await;
    Box::pin(locks_end(pair)).await;
    Box::pin(reads_put_an_end_off(pair)).await;
    Box::pin(writes_do_not(pair)).await;
}

async fn entries_end<R: Remote>(pair: &Pair<R>) {
    let Pair { clock, one, .. } = pair;
    let key = Key::new("item:ends");
    let version = |as_of| entry(clock, as_of, Some("v"));
    assert_eq!(one.fill(&key, &version(5), BRIEF).await, Ok(Fill::Stored));
    shows(clock, one, &key, Some(5)).await;
    shows(clock, one, &key, None).await;
    // With the entry went what it kept out, and a longer life replaces a shorter one.
    assert_eq!(one.fill(&key, &version(4), BRIEF).await, Ok(Fill::Stored));
    assert_eq!(one.fill(&key, &version(4), TTL).await, Ok(Fill::Stored));
    clock.sleep(BRIEF * 2).await;
    shows(clock, one, &key, Some(4)).await;
    one.overwrite(&key, &version(3), BRIEF)
        .await
        .expect("stored");
    shows(clock, one, &key, None).await;
}

async fn leases_end<R: Remote>(pair: &Pair<R>) {
    let Pair { clock, one, other } = pair;
    let key = Key::new("item:lease-ends");
    let (mine, theirs) = (Token(1), Token(2));
    let taken = one.get_or_lease(&key, mine, BRIEF).await;
    assert_eq!(taken, Ok(Leased::Granted));
    until(clock, "the end of a lease", LAG, async || {
        let asked = other.get_or_lease(&key, theirs, TTL).await;
        (asked.expect("an answer") == Leased::Granted).then_some(())
    })
    .await;
    let value = entry(clock, 5, Some("v"));
    let late = one.fill_leased(&key, mine, Some((&value, TTL))).await;
    assert_eq!(late, Ok(Fill::Refused));
    let given_back = other.fill_leased(&key, theirs, None).await;
    assert_eq!(given_back, Ok(Fill::Stored));
    let again = one.get_or_lease(&key, mine, TTL).await;
    assert_eq!(again, Ok(Leased::Granted), "as if nobody had asked");
}

async fn locks_end<R: Remote>(pair: &Pair<R>) {
    let Pair { clock, one, other } = pair;
    let (mine, theirs) = (Token(1), Token(2));
    let key = Key::new("item:lock-ends");
    assert_eq!(one.lock(&key, mine, BRIEF).await, Ok(true));
    assert_eq!(one.renew_lock(&key, mine, TTL).await, Ok(true));
    clock.sleep(BRIEF * 2).await;
    assert_eq!(other.lock(&key, theirs, TTL).await, Ok(false), "renewed");
    assert_eq!(one.renew_lock(&key, mine, BRIEF).await, Ok(true));
    until(clock, "the end of a lock", LAG, async || {
        let locked = other.lock(&key, theirs, TTL).await;
        locked.expect("an answer").then_some(())
    })
    .await;
    assert_eq!(one.renew_lock(&key, mine, TTL).await, Ok(false));
}

async fn reads_put_an_end_off<R: Remote>(pair: &Pair<R>) {
    let Pair { clock, one, other } = pair;
    let (slides, ends) = (Key::new("item:slides"), Key::new("item:slides-and-ends"));
    let (absent, nothing) = (Key::new("item:absent"), Key::new("item:nothing"));
    let lasting = entry(clock, 5, Some("v"));
    let ending = Entry {
        fresh_until: clock.now() + BRIEF * 3,
        ..lasting.clone()
    };
    let absence = entry(clock, 5, None);
    one.fill(&slides, &lasting, BRIEF).await.expect("stored");
    assert_eq!(
        one.get_and_extend(&slides, TTL).await,
        Ok(Some(lasting.clone()))
    );
    one.fill(&ends, &ending, BRIEF).await.expect("stored");
    assert_eq!(one.get_and_extend(&ends, TTL).await, Ok(Some(ending)));
    one.fill(&absent, &absence, BRIEF * 2)
        .await
        .expect("stored");
    assert_eq!(one.get_and_extend(&absent, TTL).await, Ok(Some(absence)));
    assert_eq!(one.get_and_extend(&nothing, TTL).await, Ok(None));
    // Past its own end an entry does not live on, and an absence is not extended at all.
    shows(clock, other, &ends, None).await;
    shows(clock, other, &absent, None).await;
    assert_eq!(
        other.get_and_extend(&slides, BRIEF).await,
        Ok(Some(lasting))
    );
    shows(clock, other, &slides, None).await;
    // A tombstone stays as it is.
    let dropped = one.invalidate(std::slice::from_ref(&slides), Version(9));
    dropped.await.expect("dropped");
    assert_eq!(one.get_and_extend(&slides, BRIEF).await, Ok(None));
    clock.sleep(BRIEF * 2).await;
    let stale = one.fill(&slides, &entry(clock, 8, Some("v")), TTL).await;
    assert_eq!(stale, Ok(Fill::Refused));
}

async fn writes_do_not<R: Remote>(pair: &Pair<R>) {
    let Pair { clock, one, .. } = pair;
    let key = Key::new("item:session");
    let until_end = |as_of, end: Duration| Entry {
        fresh_until: clock.now() + end,
        ..entry(clock, as_of, Some("v"))
    };
    let fill = async |entry: &Entry| one.fill_sliding(&key, entry, TTL).await;
    let first = until_end(5, TTL);
    assert_eq!(fill(&first).await, Ok(Fill::Stored));
    assert_eq!(fill(&until_end(4, TTL)).await, Ok(Fill::Refused), "older");
    assert_eq!(fill(&until_end(6, TTL * 2)).await, Ok(Fill::Stored));
    shows(clock, one, &key, Some(6)).await;
    let held = one.get(&key).await.expect("an answer").expect("an entry");
    assert_eq!(held.fresh_until, first.fresh_until, "the earlier end stays");
    let sooner = until_end(7, BRIEF);
    assert_eq!(fill(&sooner).await, Ok(Fill::Stored));
    shows(clock, one, &key, None).await;
    // One that is over already leaves nothing.
    let over = Entry {
        fresh_until: clock.now() - BRIEF,
        ..entry(clock, 8, Some("v"))
    };
    assert_eq!(fill(&over).await, Ok(Fill::Stored));
    assert_eq!(one.held(std::slice::from_ref(&key)).await, Ok(vec![None]));
    assert_eq!(fill(&until_end(3, TTL)).await, Ok(Fill::Stored));
}
