//! Which generations are outdated, by scope: the state that broad invalidations leave behind.
//!
//! A map from scope to generation that only grows: two of them are put together by the greater of
//! each, in any order and any number of times, so that instances and the remote layer agree however
//! notices were lost or doubled. Its size is bounded: too many patterns of one data type are folded
//! into the whole data type, which outdates more than was asked for and never less.
//!
//! A generation is compared with generations alone, never with anybody's clock, so a wrong clock
//! cannot outdate a whole system for ever (the defect of FusionCache#627). Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::glob::Glob;
use crate::engine::data_type::DataTypeId;
use crate::engine::layer::Generation;

/// How many patterns of one data type are told apart.
pub const PATTERNS_MAX: usize = 128;

/// Whom an invalidation concerns. Spelled `*`, `3` (a data type's place), `3 inventory:17:*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// Every entry.
    Everything,
    /// Every entry of a data type.
    DataType(DataTypeId),
    /// The entries of a data type whose key matches.
    Pattern(DataTypeId, Glob),
}

/// A text that names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope of an invalidation; one is spelled *, 3 or 3 inventory:17:*")]
pub struct ScopeError(String);

impl FromStr for Scope {
    type Err = ScopeError;
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let wrong = || ScopeError(text.to_owned());
        let id = |digits: &str| digits.parse().map(DataTypeId).map_err(|_| wrong());
        match text.split_once(' ') {
            None if text == "*" => Ok(Self::Everything),
            None => id(text).map(Self::DataType),
            Some((digits, glob)) => {
                let glob = glob.parse().map_err(|_| wrong())?;
                Ok(Self::Pattern(id(digits)?, glob))
            }
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("*"),
            Self::DataType(id) => write!(f, "{}", id.0),
            Self::Pattern(id, glob) => write!(f, "{} {glob}", id.0),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;
    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl Scope {
    /// The data type concerned; `None` for all.
    pub fn data_type(&self) -> Option<DataTypeId> {
        match self {
            Self::Everything => None,
            Self::DataType(id) | Self::Pattern(id, _) => Some(*id),
        }
    }
}

/// Entries in `scope` below `generation` are outdated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Whom it concerns.
    pub scope: Scope,
    /// From which generation on entries count.
    pub generation: Generation,
}

/// All markers that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markers {
    by_scope: BTreeMap<Scope, Generation>,
}

impl Markers {
    /// Takes `marker` in. False if it says nothing new.
    pub fn raise(&mut self, marker: Marker) -> bool {
        let Marker { scope, generation } = marker;
        if self.covering(&scope) >= generation {
            return false;
        }
        self.by_scope.insert(scope.clone(), generation);
        self.drop_covered_by(&scope, generation);
        if let Scope::Pattern(id, _) = scope {
            self.fold(id);
        }
        true
    }

    /// What is known for `scope` as a whole.
    fn covering(&self, scope: &Scope) -> Generation {
        let of = |scope: &Scope| self.by_scope.get(scope).copied().unwrap_or_default();
        let wider = scope.data_type().map(|id| of(&Scope::DataType(id)));
        of(scope)
            .max(of(&Scope::Everything))
            .max(wider.unwrap_or_default())
    }

    /// Narrower markers that are not newer than `scope` at `generation` say nothing any more.
    fn drop_covered_by(&mut self, scope: &Scope, generation: Generation) {
        self.by_scope.retain(|other, theirs| {
            let narrower = match (scope, other) {
                (Scope::Everything, other) => *other != Scope::Everything,
                (Scope::DataType(id), Scope::Pattern(of, _)) => id == of,
                _ => false,
            };
            !(narrower && *theirs <= generation)
        });
    }

    /// Folds the oldest pattern of a data type that has too many into the data type.
    fn fold(&mut self, id: DataTypeId) {
        let patterns = || {
            let all = self.by_scope.iter();
            all.filter(move |(scope, _)| matches!(scope, Scope::Pattern(of, _) if of.0 == id.0))
        };
        if patterns().count() > PATTERNS_MAX
            && let Some(oldest) = patterns().map(|(_, generation)| *generation).min()
        {
            self.raise(Marker {
                scope: Scope::DataType(id),
                generation: oldest,
            });
        }
    }

    /// From which generation on an entry of `data_type` at `key` counts.
    pub fn floor(&self, data_type: DataTypeId, key: &str) -> Generation {
        let concerns = |scope: &Scope| match scope {
            Scope::Everything => true,
            Scope::DataType(id) => *id == data_type,
            Scope::Pattern(id, glob) => *id == data_type && glob.matches(key),
        };
        let floors = self.by_scope.iter().filter(|(scope, _)| concerns(scope));
        floors
            .map(|(_, generation)| *generation)
            .max()
            .unwrap_or_default()
    }

    /// Every marker.
    pub fn iter(&self) -> impl Iterator<Item = Marker> {
        let all = self.by_scope.iter();
        all.map(|(scope, generation)| Marker {
            scope: scope.clone(),
            generation: *generation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marker(scope: &str, generation: u64) -> Marker {
        Marker {
            scope: scope.parse().expect(scope),
            generation: Generation(generation),
        }
    }

    fn any_marker() -> impl Strategy<Value = Marker> {
        let scopes = ["*", "0", "1", "0 a:*", "0 a:1*", "0 b:*", "1 a:*"];
        (prop::sample::select(scopes.to_vec()), 1u64..20).prop_map(|(s, g)| marker(s, g))
    }

    fn all(markers: &[Marker]) -> Markers {
        let mut together = Markers::default();
        for marker in markers {
            together.raise(marker.clone());
        }
        together
    }

    #[test]
    fn scopes_are_spelled_and_read_back() {
        for text in ["*", "3", "3 inventory:17:*", "0 two words *"] {
            assert_eq!(text.parse::<Scope>().expect(text).to_string(), text);
        }
        for text in ["", "quote", "3 ", "-1", "70000"] {
            assert!(text.parse::<Scope>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_marker_concerns_its_scope_and_nothing_else() {
        let markers = all(&[marker("1", 5), marker("0 a:*", 7)]);
        assert_eq!(markers.floor(DataTypeId(1), "a:1"), Generation(5));
        assert_eq!(markers.floor(DataTypeId(0), "a:1"), Generation(7));
        assert_eq!(markers.floor(DataTypeId(0), "b:1"), Generation(0));
    }

    #[test]
    fn too_many_patterns_outdate_more_and_never_less() {
        let mut markers = Markers::default();
        let many = 3 * PATTERNS_MAX as u64;
        for n in 1..=many {
            markers.raise(marker(&format!("0 key:{n}:*"), n));
            assert!(markers.iter().count() <= PATTERNS_MAX + 1);
        }
        for n in 1..=many {
            assert!(markers.floor(DataTypeId(0), &format!("key:{n}:x")) >= Generation(n));
        }
        assert_eq!(markers.floor(DataTypeId(1), "key:1:x"), Generation(0));
    }

    proptest! {
        /// Whoever hears the same markers, in whatever order and however often, comes to the same.
        #[test]
        fn order_and_repetition_do_not_matter(
            markers in prop::collection::vec(any_marker(), 0..12),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut shuffled = markers.clone();
            for index in order.iter().filter(|_| !markers.is_empty()) {
                shuffled.push(markers[index.index(markers.len())].clone());
            }
            shuffled.reverse();
            prop_assert_eq!(all(&markers), all(&shuffled));
        }

        /// Dropping what is covered changes no answer.
        #[test]
        fn the_floor_is_the_greatest_marker_that_concerns(
            markers in prop::collection::vec(any_marker(), 0..12),
            id in 0u16..2,
            key in prop::sample::select(vec!["a:1", "a:2", "b:1", "c"]),
        ) {
            let together = all(&markers);
            let concerned = markers.iter().filter(|marker| match &marker.scope {
                Scope::Everything => true,
                Scope::DataType(of) => of.0 == id,
                Scope::Pattern(of, glob) => of.0 == id && glob.matches(key),
            });
            let expected = concerned.map(|marker| marker.generation).max().unwrap_or_default();
            prop_assert_eq!(together.floor(DataTypeId(id), key), expected);
        }
    }
}
