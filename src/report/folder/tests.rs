//! Every place that can be wrong, and every file that must be left alone.

use super::*;
use crate::report::fixture::sample_report;
use crate::report::{EXPORTERS, write_all};

const MOMENT: Timestamp = Timestamp::from_unix_nanos(1_795_419_900 * 1_000_000_000);

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_folder_never_takes_a_name_twice() {
    let parent = tempfile::tempdir().expect("a folder");
    let reports = parent.path().join("deep/reports");
    for wanted in ["", "-2", "-3"] {
        let folder = Folder::new_in(&reports, "adr-006", MOMENT).expect("a folder");
        let name = format!("adr-006-20261123T074500Z{wanted}");
        assert_eq!(folder.path(), reports.join(name));
        assert!(names(folder.path()).is_empty());
    }
}

#[test]
fn names_are_safe_whatever_the_scenario_is_called() {
    let name = |scenario: &str| folder_name(scenario, MOMENT);
    assert_eq!(name("../../etc/passwd"), "etc-passwd-20261123T074500Z");
    assert_eq!(name("größer: 1/2"), "gr-er-1-2-20261123T074500Z");
    assert_eq!(name(".."), "run-20261123T074500Z");
    assert_eq!(name(&"x".repeat(500)).len(), NAME_BYTES_MAX + 17);
}

#[test]
fn an_earlier_report_is_cleared_at_once() {
    let parent = tempfile::tempdir().expect("a folder");
    let out = parent.path().join("out");
    let folder = Folder::named(&out).expect("a new folder");
    let extras = [("scenario.yaml", b"name: x".to_vec())];
    write_all(&folder, &sample_report(), &extras).expect("a report");
    fs::write(out.join(".cachestorm-x1.tmp"), "half").expect("a file");
    assert!(names(&out).len() > EXPORTERS.len());
    Folder::named(&out).expect("the same folder");
    assert_eq!(names(&out), Vec::<String>::new());
}

#[test]
fn foreign_files_are_refused_and_left_alone() {
    let foreign: [&[(&str, &str)]; 5] = [
        &[("notes.txt", "mine")],
        &[("scenario.yaml", "name: the user's own")],
        &[("report.json", "{\"tests\": 3}")],
        &[(
            "report.json",
            r#"{"tool": {"name": "other", "version": "1"}}"#,
        )],
        &[
            (
                "report.json",
                r#"{"tool": {"name": "cachestorm", "version": "1"}}"#,
            ),
            ("x", ""),
        ],
    ];
    for files in foreign {
        let out = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(out.path().join(name), text).expect("a file");
        }
        let error = Folder::named(out.path()).expect_err(files[0].0);
        assert!(matches!(error, FolderError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains("with --out"), "{error}");
        assert_eq!(names(out.path()).len(), files.len());
    }
}

#[test]
fn a_folder_inside_is_foreign_even_under_our_name() {
    let out = tempfile::tempdir().expect("a folder");
    fs::create_dir(out.path().join("report.html")).expect("a folder");
    let error = Folder::named(out.path()).expect_err("a folder inside");
    assert!(matches!(error, FolderError::Foreign { .. }), "{error}");
}

#[test]
fn a_file_in_the_way_is_named() {
    let parent = tempfile::tempdir().expect("a folder");
    let file = parent.path().join("out");
    fs::write(&file, "mine").expect("a file");
    for out in [file.clone(), file.join("deeper/still")] {
        let error = Folder::named(&out).expect_err("a file");
        assert!(
            matches!(&error, FolderError::NotAFolder { path } if *path == file),
            "{error}"
        );
    }
    assert!(Folder::new_in(&file, "x", MOMENT).is_err());
}

#[test]
#[cfg(target_os = "linux")]
fn a_place_where_nothing_can_be_made_is_refused() {
    // Not even the superuser, as whom CI often runs, may make anything here.
    for error in [
        Folder::named(Path::new("/proc/cachestorm")).map(drop),
        Folder::new_in(Path::new("/proc"), "x", MOMENT).map(drop),
    ] {
        let error = error.expect_err("/proc is read-only");
        assert!(matches!(error, FolderError::Create { .. }), "{error}");
    }
    let error = Folder::checked("/proc".into(), false).expect_err("/proc is read-only");
    assert!(matches!(error, FolderError::Unusable { .. }), "{error}");
}

#[test]
#[cfg(unix)]
fn a_read_only_parent_is_refused_exactly_if_the_system_refuses_it() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().expect("a folder");
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o555)).expect("allowed");
    // The superuser may write all the same.
    let system = fs::create_dir(parent.path().join("probe"));
    let ours = Folder::new_in(parent.path(), "x", MOMENT);
    assert_eq!(ours.is_ok(), system.is_ok(), "{ours:?}");
}

#[test]
fn files_are_whole_or_absent_and_stay_inside() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = Folder::named(&parent.path().join("out")).expect("a folder");
    folder.write("summary.md", b"one").expect("written");
    let path = folder.write("summary.md", b"two").expect("written");
    assert_eq!(fs::read(path).expect("a file"), b"two");
    assert_eq!(names(folder.path()), ["summary.md"]);
    for name in ["", ".", "..", "../x", "a/b", "/etc/x", "a/"] {
        let error = folder.write(name, b"x").expect_err(name);
        assert!(matches!(error, FolderError::BadName { .. }), "{error}");
    }
    assert_eq!(names(parent.path()), ["out"]);
}

#[test]
fn giving_up_removes_an_empty_folder_only() {
    let parent = tempfile::tempdir().expect("a folder");
    let empty = Folder::new_in(parent.path(), "empty", MOMENT).expect("a folder");
    let full = Folder::new_in(parent.path(), "full", MOMENT).expect("a folder");
    full.write("summary.md", b"x").expect("written");
    let theirs = parent.path().join("theirs");
    fs::create_dir(&theirs).expect("a folder");
    Folder::named(&theirs).expect("an empty folder").give_up();
    empty.give_up();
    full.give_up();
    assert_eq!(names(parent.path()), ["full-20261123T074500Z", "theirs"]);
}

#[test]
fn every_exporter_writes_a_file_that_is_known_as_ours() {
    for exporter in EXPORTERS {
        assert!(
            REPORT_FILES.contains(&exporter.file_name()),
            "{}",
            exporter.file_name()
        );
    }
}
