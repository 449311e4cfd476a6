//! `write_all`: every file, and what happens when one cannot be had.

use super::fixture::sample_report;
use super::*;

#[test]
fn every_file_and_every_extra_is_written() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = Folder::named(&parent.path().join("out")).expect("a folder");
    let extras = [
        ("scenario.yaml", b"name: x".to_vec()),
        ("response_time.hlog", b"#".to_vec()),
    ];
    let written = write_all(&folder, &sample_report(), &extras).expect("a report");
    assert_eq!(written.len(), EXPORTERS.len() + extras.len());
    for path in &written {
        assert!(
            std::fs::metadata(path).is_ok_and(|meta| meta.len() > 0),
            "{}",
            path.display()
        );
    }
    assert_eq!(read(folder.path()).expect("a report"), sample_report());
}

#[test]
fn one_file_that_fails_does_not_take_the_others_along() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = Folder::named(&parent.path().join("out")).expect("a folder");
    let mut report = sample_report();
    report.duration_s = f64::NAN;
    let extras = [
        ("../escape.txt", Vec::new()),
        ("scenario.yaml", b"name: x".to_vec()),
    ];
    let error = write_all(&folder, &report, &extras).expect_err("two files fail");
    assert_eq!(error.missing.len(), 2);
    assert_eq!(error.written.len(), EXPORTERS.len() - 1 + 1);
    let text = error.to_string();
    assert!(
        text.contains("\n  report.json: duration_s is NaN"),
        "{text}"
    );
    assert!(
        text.contains("\n  \"../escape.txt\" is no plain name"),
        "{text}"
    );
    assert!(folder.file("summary.md").exists() && folder.file("scenario.yaml").exists());
}
