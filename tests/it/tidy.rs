//! The law of the house, held by a test and not by memory: who may import whom, how long files
//! and functions may be, what every file says of itself, and that documents tell the truth about
//! files and rooms.
//!
//! Each law is a function from text to its breaches, so that the tests at the end can show it
//! fail.

use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::Visit;
use walkdir::WalkDir;

/// The rooms from the ground up (ARCHITECTURE.md, "Rooms"). A room may import itself and those
/// that stand before it.
const ROOMS: [&str; 15] = [
    "clock",
    "seed",
    "units",
    "engine",
    "workload",
    "environment",
    "measure",
    "gates",
    "scenario",
    "drivers",
    "report",
    "capacity",
    "runner",
    "cli",
    "main",
];

const FILE_LINES_MAX: usize = 500;
const TEST_FILE_LINES_MAX: usize = 800;
/// The same as `too-many-lines-threshold` in clippy.toml, which counts in the same way.
const FUNCTION_LINES_MAX: usize = 70;

/// A file's path from the root of the repository, with `/`, and its text.
struct File {
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file with this extension that belongs to the repository and is not made by a run.
fn files(extension: &str) -> Vec<File> {
    let ours = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        let hidden = name.starts_with('.') && entry.depth() > 0;
        let made = name == "target" || name == "node_modules";
        let report =
            entry.file_type().is_dir() && entry.path().parent() == Some(&root().join("reports"));
        !(hidden || made || report)
    };
    let mut files: Vec<File> = WalkDir::new(root())
        .into_iter()
        .filter_entry(ours)
        .map(|entry| entry.expect("the repository can be read"))
        .filter(|entry| entry.file_type().is_file())
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|found| found == extension)
        })
        .map(|entry| File {
            path: relative(entry.path()),
            text: fs::read_to_string(entry.path()).expect("a text file"),
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}

fn rust_files() -> Vec<File> {
    let files = files("rs");
    assert!(files.len() > 10, "found only {} files", files.len());
    files
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
}

fn assert_none(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

#[test]
fn imports_go_down_only() {
    let breaches: Vec<String> = rust_files()
        .iter()
        .filter(|file| file.path.starts_with("src/") && !is_test_file(&file.path))
        .flat_map(upward_imports)
        .collect();
    assert_none(&breaches);
}

#[test]
fn every_file_says_what_it_is() {
    let breaches: Vec<String> = rust_files().iter().filter_map(silent).collect();
    assert_none(&breaches);
}

#[test]
fn files_and_functions_are_short() {
    let files = rust_files();
    let mut breaches: Vec<String> = files.iter().filter_map(long_file).collect();
    breaches.extend(files.iter().flat_map(long_functions));
    assert_none(&breaches);
}

#[test]
fn an_exception_from_a_lint_has_its_reason() {
    let breaches: Vec<String> = rust_files().iter().flat_map(bare_allows).collect();
    assert_none(&breaches);
}

#[test]
fn the_documents_exist_and_name_every_room() {
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(root().join(name)).unwrap_or_default();
        assert!(text.len() > 100, "{name} is missing or empty");
    }
    let read = |name: &str| fs::read_to_string(root().join(name)).expect(name);
    assert_none(&unnamed_rooms(
        &read("src/lib.rs"),
        &read("ARCHITECTURE.md"),
    ));
}

#[test]
fn links_in_documents_lead_somewhere() {
    let documents = files("md");
    let breaches: Vec<String> = documents
        .iter()
        .flat_map(|document| dead_links(document, |path| root().join(path).exists()))
        .collect();
    assert_none(&breaches);
}

/// Law (a): imports of rooms that stand later in [`ROOMS`].
fn upward_imports(file: &File) -> Vec<String> {
    let module = module_of(&file.path);
    let Some(room) = module.first().cloned() else {
        return vec![]; // lib.rs only declares the rooms
    };
    let mut imports = Imports {
        module,
        rooms: vec![],
    };
    imports.visit_file(&parse(file));
    imports.rooms.sort();
    imports.rooms.dedup();
    let rank = |room: &str| ROOMS.iter().position(|known| *known == room);
    let Some(own) = rank(&room) else {
        return vec![format!(
            "{}: the room {room} has no place in ROOMS of tests/it/tidy.rs",
            file.path
        )];
    };
    imports
        .rooms
        .iter()
        .filter(|target| rank(target).is_some_and(|target| target > own))
        .map(|target| format!("{}: {room} may not import {target}", file.path))
        .collect()
}

/// `src/gates/grammar/parse.rs` is `[gates, grammar, parse]`, `src/gates/mod.rs` is `[gates]`.
fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/')
        .filter(|part| !["mod", "lib"].contains(part))
        .map(str::to_owned)
        .collect()
}

fn parse(file: &File) -> syn::File {
    syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path))
}

/// Collects the rooms that a file names, outside its tests.
struct Imports {
    module: Vec<String>,
    rooms: Vec<String>,
}

impl Imports {
    /// Notes the room of a path, if it leads to one: from `crate`, from the library's own name
    /// (as `main` writes it), or by enough `super`s.
    fn note(&mut self, segments: &[String]) {
        let supers = segments.iter().take_while(|s| *s == "super").count();
        let room = match segments.first().map(String::as_str) {
            Some("crate" | "cachestorm") => segments.get(1),
            Some("super") if supers >= self.module.len() => segments.get(supers),
            _ => None,
        };
        self.rooms.extend(room.cloned());
    }

    fn note_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.note_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.note(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.note(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.note(before),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_tree(before, tree);
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        if !attributes.iter().any(is_cfg_test) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.module.push(module.ident.to_string());
        syn::visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.note_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.note(&segments);
        syn::visit::visit_path(self, path);
    }

    /// Inside a macro there are only tokens: every `crate::name` in them counts.
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let tokens = call.tokens.to_string().replace(' ', "");
        for after in tokens.split("crate::").skip(1) {
            let room: String = after
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            self.rooms.push(room);
        }
        syn::visit::visit_macro(self, call);
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .parse_args::<syn::Ident>()
            .is_ok_and(|ident| ident == "test")
}

/// Law (b): a file that does not open with `//!`.
fn silent(file: &File) -> Option<String> {
    let speaks = file.text.starts_with("//! ");
    (!speaks).then(|| format!("{}: opens without //! and what it is", file.path))
}

/// Law (c): a file that is too long.
fn long_file(file: &File) -> Option<String> {
    let limit = if is_test_file(&file.path) {
        TEST_FILE_LINES_MAX
    } else {
        FILE_LINES_MAX
    };
    let lines = file.text.lines().count();
    (lines > limit).then(|| format!("{}: {lines} lines, {limit} are allowed", file.path))
}

/// Law (c): functions that are too long; lines of code, without comments and empty ones.
///
/// Leans on rustfmt: a function ends at the first `}` that stands as far in as its `fn` line.
fn long_functions(file: &File) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut breaches = vec![];
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let here = |other: &&&str| indent(other) == indent(line);
        // A signature ends with `{`, or with `;` where a trait gives no body.
        let signature_ends = |line: &&&str| here(line) && line.ends_with(['{', ';', '}']);
        let Some(length) = lines[at..].iter().position(|line| signature_ends(&line)) else {
            continue;
        };
        let body = at + length;
        if !lines[body].ends_with('{') {
            continue;
        }
        let count = lines[body + 1..]
            .iter()
            .take_while(|inner| inner.trim() != "}" || !here(inner))
            .filter(|line| !(line.trim().is_empty() || line.trim().starts_with("//")))
            .count();
        if count > FUNCTION_LINES_MAX {
            breaches.push(format!(
                "{}:{}: {name} has {count} lines, {FUNCTION_LINES_MAX} are allowed",
                file.path,
                at + 1
            ));
        }
    }
    breaches
}

/// The name of the function whose signature begins on this line.
fn function_name(line: &str) -> Option<&str> {
    const BEFORE_FN: [&str; 6] = ["pub", "const", "async", "extern", "unsafe", "default"];
    let (before, after) = line.trim_start().split_once("fn ")?;
    let signature = before
        .split_whitespace()
        .all(|word| BEFORE_FN.contains(&word) || word.starts_with("pub(") || word == "\"C\"");
    let end = after.find(['(', '<'])?;
    (signature && !after[..end].is_empty()).then_some(&after[..end])
}

/// Law (d): `#[allow(…)]` and `#[expect(…)]` without `reason = "…"`.
fn bare_allows(file: &File) -> Vec<String> {
    struct Allows(Vec<String>);
    impl<'ast> Visit<'ast> for Allows {
        fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
            let path = attribute.path();
            if let syn::Meta::List(list) = &attribute.meta
                && (path.is_ident("allow") || path.is_ident("expect"))
            {
                let tokens = list.tokens.to_string();
                if !tokens.replace(' ', "").contains("reason=\"") {
                    self.0.push(tokens);
                }
            }
        }
    }
    let mut allows = Allows(vec![]);
    allows.visit_file(&parse(file));
    let breach = |lints: &String| format!("{}: allows {lints} without a reason", file.path);
    allows.0.iter().map(breach).collect()
}

/// Law (e): top-level modules of the library that ARCHITECTURE.md does not name.
fn unnamed_rooms(library: &str, architecture: &str) -> Vec<String> {
    library
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
        .filter(|room| !architecture.contains(&format!("`{room}`")))
        .map(|room| format!("ARCHITECTURE.md does not name the room `{room}`"))
        .collect()
}

/// Law (f): links to files that do not exist.
fn dead_links(document: &File, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let folder = Path::new(&document.path).parent().unwrap_or(Path::new(""));
    links(&document.text)
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .filter_map(|link| {
            let path = link.split('#').next().filter(|path| !path.is_empty())?;
            let target: PathBuf = folder.join(path);
            let dead = format!("{}: the link to {link} leads nowhere", document.path);
            (!exists(&target)).then_some(dead)
        })
        .collect()
}

/// The targets of Markdown links and images, outside code blocks.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    let prose = text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !(fence || in_code)
    });
    prose.flat_map(|line| {
        line.split("](")
            .skip(1)
            .filter_map(|after| after.split([')', ' ']).next())
    })
}

/// Each law is shown able to fail.
mod laws_can_fail {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn imports(path: &str, text: &str) -> Vec<String> {
        upward_imports(&file(path, text))
    }

    #[test]
    fn an_import_from_a_later_room_is_found_wherever_it_hides() {
        for text in [
            "use crate::runner::Runner;",
            "use crate::{clock::Clock, runner::{self, Runner}};",
            "use super::super::runner::Runner;",
            "fn f() -> crate::runner::Runner { crate::runner::make() }",
            "fn f(x: &dyn crate::runner::Run) {}",
            "fn f() { crate::runner::make() }",
            "fn f() { println!(\"{}\", crate::runner::NAME); }",
            "mod inner { use super::super::super::runner::Runner; }",
            "struct A { f: Vec<Option<crate::runner::Runner>> }",
            "impl crate::runner::Run for u8 {}",
            "#[cfg(unix)] use crate::runner::Runner;",
        ] {
            let found = imports("src/gates/judge.rs", text);
            assert_eq!(
                found,
                ["src/gates/judge.rs: gates may not import runner"],
                "{text}"
            );
        }
    }

    #[test]
    fn an_import_from_an_earlier_room_or_in_a_test_is_free() {
        for text in [
            "use crate::clock::Clock;",
            "use crate::gates::Verdict;",
            "use super::Verdict;",
            "use super::grammar::Check;",
            "mod inner { use super::super::Verdict; }",
            "#[cfg(test)] mod tests { use crate::runner::Runner; }",
            "#[cfg(test)] use crate::runner::Runner;",
            "#[cfg(test)] fn f() { crate::runner::make() }",
            "use runner::Runner;",
        ] {
            assert_eq!(
                imports("src/gates/judge.rs", text),
                Vec::<String>::new(),
                "{text}"
            );
        }
    }

    #[test]
    fn the_order_within_a_tier_holds() {
        for (room, later) in [
            ("engine", "workload"),
            ("environment", "measure"),
            ("gates", "scenario"),
            ("scenario", "drivers"),
            ("drivers", "report"),
            ("report", "capacity"),
            ("capacity", "runner"),
        ] {
            let import = |of: &str| format!("use crate::{of}::X;");
            assert_eq!(
                imports(&format!("src/{room}/mod.rs"), &import(later)).len(),
                1
            );
            assert_eq!(
                imports(&format!("src/{later}/mod.rs"), &import(room)).len(),
                0
            );
        }
        assert_eq!(
            imports("src/attic.rs", "").len(),
            1,
            "a room without a place"
        );
    }

    #[test]
    fn a_silent_file_is_found() {
        assert!(silent(&file("src/a.rs", "use std::fs;\n")).is_some());
        assert!(silent(&file("src/a.rs", "//!\n")).is_some());
        assert!(silent(&file("src/a.rs", "//! A room.\n")).is_none());
    }

    #[test]
    fn a_long_file_is_found() {
        let lines = |count: usize| "x\n".repeat(count);
        assert!(long_file(&file("src/a.rs", &lines(500))).is_none());
        assert!(long_file(&file("src/a.rs", &lines(501))).is_some());
        assert!(long_file(&file("src/a/tests.rs", &lines(800))).is_none());
        assert!(long_file(&file("tests/it/a.rs", &lines(801))).is_some());
    }

    #[test]
    fn a_long_function_is_found() {
        let function = |head: &str, lines: usize| {
            let body = "        work();\n        // why\n\n".repeat(lines);
            format!("impl A {{\n    {head} {{\n{body}    }}\n\n    fn short() {{\n    }}\n}}\n")
        };
        for head in [
            "fn a()",
            "pub(crate) async fn a<T>(x: T) -> u8",
            "pub const fn a()",
        ] {
            assert_eq!(
                long_functions(&file("src/a.rs", &function(head, 70))).len(),
                0
            );
            assert_eq!(
                long_functions(&file("src/a.rs", &function(head, 71))),
                ["src/a.rs:2: a has 71 lines, 70 are allowed"]
            );
        }
        let method = "trait A {\n    fn a(\n        x: u8,\n    ) -> u8;\n";
        let text = method.to_owned() + &"    // b\n    const B: u8 = 1;\n".repeat(80) + "}\n";
        assert_eq!(long_functions(&file("src/a.rs", &text)).len(), 0, "no body");
        let closure = function("let defn = || 1; if a", 71);
        assert_eq!(long_functions(&file("src/a.rs", &closure)).len(), 0);
    }

    #[test]
    fn an_exception_without_reason_is_found() {
        let found = |text: &str| bare_allows(&file("src/a.rs", text)).len();
        assert_eq!(found("#![allow(dead_code)]"), 1);
        assert_eq!(found("#[allow(clippy::panic)]\nfn f() {}"), 1);
        assert_eq!(
            found("fn f() {\n    #[expect(unused)]\n    let x = 1;\n}"),
            1
        );
        assert_eq!(found("#[allow(dead_code, reason = \"why\")]\nfn f() {}"), 0);
        assert_eq!(found("#[derive(Debug)]\nstruct A;"), 0);
    }

    #[test]
    fn an_unnamed_room_is_found() {
        let library = "pub mod engine;\npub mod attic;\nmod private;\n";
        let found = unnamed_rooms(
            library,
            "The engine's room is `engine`; the attic has none.",
        );
        assert_eq!(found, ["ARCHITECTURE.md does not name the room `attic`"]);
    }

    #[test]
    fn a_dead_link_is_found() {
        let text = "See [a](gates.md#form), [b](gone.md), [c](https://a.b/c), [d](#here) and\n\
                    ![e](../pictures/gone.svg \"title\").\n```\n[f](code.md)\n```\n";
        let document = file("docs/ci.md", text);
        let found = dead_links(&document, |path| path == Path::new("docs/gates.md"));
        assert_eq!(
            found,
            [
                "docs/ci.md: the link to gone.md leads nowhere",
                "docs/ci.md: the link to ../pictures/gone.svg leads nowhere"
            ]
        );
    }
}
