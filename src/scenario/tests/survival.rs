//! Whatever is read: a plan or errors, never a panic, and what was resolved reads as the same plan.

use std::time::Duration;

use proptest::prelude::*;

use super::{Overrides, SMALL, parse, set};

/// Either a plan, whose resolved form gives it again, or at least one error.
fn must_not_break(text: &str, overrides: &Overrides) -> Result<(), TestCaseError> {
    match parse("a.yaml", text, overrides) {
        Ok(first) => {
            let again = parse("resolved.yaml", &first.resolved_yaml, &Overrides::default());
            let again = again.map_err(|errors| TestCaseError::fail(errors.to_string()))?;
            prop_assert_eq!(format!("{:?}", again), format!("{:?}", first));
        }
        Err(errors) => {
            prop_assert!(errors.len() > 0);
            let printed = errors.to_string();
            prop_assert!(printed.starts_with("error: "), "{}", printed);
        }
    }
    Ok(())
}

/// What people and chance put into a scenario.
fn piece() -> impl Strategy<Value = String> {
    let written = prop::sample::select(vec![
        "0",
        "-1",
        "1e400",
        "15",
        "15m",
        "0s",
        "99999h",
        "none",
        "unique",
        "per-user",
        "null",
        "~",
        "",
        "[]",
        "{}",
        "{ zipf: -1 }",
        "x",
        "\"",
        "'",
        "&a",
        "*a",
        "\n",
        "\n  ",
        "\t",
        ": ",
        "- ",
        "#",
        "---",
        "|",
        ">",
        "!!int 3",
        "18446744073709551616",
        "{ a: 1, a: 2 }",
        "\u{0}",
        "\r",
        "ü",
        "\u{2028}",
        "counter",
        "write-behind",
        "100%",
        "{window}",
        "? ",
        "%YAML 1.2",
    ]);
    prop_oneof![written.prop_map(str::to_owned), ".{0,6}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}") {
        must_not_break(&text, &Overrides::default())?;
    }

    #[test]
    fn any_pieces_are_survived(pieces in prop::collection::vec(piece(), 0..40)) {
        must_not_break(&pieces.concat(), &Overrides::default())?;
    }

    #[test]
    fn a_broken_scenario_is_survived(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, piece()), 1..4),
    ) {
        let mut text: Vec<char> = SMALL.chars().collect();
        for (at, length, piece) in cuts {
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            text.splice(at..end, piece.chars());
        }
        must_not_break(&text.into_iter().collect::<String>(), &Overrides::default())?;
    }

    #[test]
    fn any_value_is_survived(
        line in any::<prop::sample::Index>(),
        piece in piece(),
    ) {
        let mut lines: Vec<String> = SMALL.lines().map(str::to_owned).collect();
        let at = line.index(lines.len());
        if let Some((key, _)) = lines[at].split_once(": ") {
            lines[at] = format!("{key}: {piece}");
        }
        must_not_break(&lines.join("\n"), &Overrides::default())?;
    }

    #[test]
    fn any_argument_is_survived(
        path in prop_oneof![
            "[a-z.]{0,20}",
            prop::sample::select(vec![
                "traffic.phases.0", "traffic.mix", "data_types.customer.origin", "gates.1",
                "layers.local", "name", "data_types.activity.population", "traffic.users.x.y",
            ]).prop_map(str::to_owned),
        ],
        value in piece(),
        users: Option<u32>,
        duration_ns: Option<u64>,
    ) {
        let overrides = Overrides {
            users,
            duration: duration_ns.map(Duration::from_nanos),
            ..set(&[(&path, &value)])
        };
        must_not_break(SMALL, &overrides)?;
    }
}

/// A file that is all of one thing must be read, or refused, without a stack overflow.
#[test]
fn monotony_is_survived() {
    for piece in [
        "[", "{", "- ", "? ", "a: ", "\"", "&a ", "a:\n ", "\n", "*a ", "'", "|\n", "]", ": ",
    ] {
        let text = piece.repeat(100_000 / piece.len());
        let errors = parse("a.yaml", &text, &Overrides::default());
        assert!(errors.is_err(), "{piece:?}");
    }
    let steps: Vec<String> = (0..400).map(|depth| " ".repeat(depth)).collect();
    let staircase = steps.join("a:\n");
    assert!(parse("a.yaml", &staircase, &Overrides::default()).is_err());
}
