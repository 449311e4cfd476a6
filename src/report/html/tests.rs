use super::*;
use crate::report::fixture::{bare_report, failed_report, sample_report};

#[test]
fn writes_the_pages_where_a_person_can_look_at_them() {
    let Ok(folder) = std::env::var("CACHESTORM_HTML_DIR") else {
        return;
    };
    for (name, report) in [
        ("sample", sample_report()),
        ("failed", failed_report()),
        ("bare", bare_report()),
    ] {
        let page = render(&report).expect("a page");
        std::fs::write(format!("{folder}/{name}.html"), page).expect("written");
    }
}
