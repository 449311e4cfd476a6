//! Finds a number that is none (NaN or an infinity) in anything that can be serialized, and says
//! where it stands.
//!
//! Called by the exporters of JSON before they write. It is a serializer that writes nothing: so
//! it sees every field of the model, and those that will be added.

use std::fmt::{self, Display};

use serde::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::export::ExportError;

/// # Errors
/// [`ExportError::NotFinite`] with the first such number and its place.
pub(super) fn check(value: &impl Serialize) -> Result<(), ExportError> {
    let mut path = Path::default();
    value.serialize(&mut path).map_err(|found| match found {
        Found::NotFinite(value) => ExportError::NotFinite {
            at: path.to_string(),
            value,
        },
        Found::Other(text) => ExportError::Json(ser::Error::custom(text)),
    })
}

/// Why the walk ended early.
#[derive(Debug)]
enum Found {
    NotFinite(f64),
    /// A type's own serialization failed.
    Other(String),
}

impl Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite(value) => write!(f, "{value}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Found {}

impl ser::Error for Found {
    fn custom<T: Display>(text: T) -> Self {
        Self::Other(text.to_string())
    }
}

/// The way from the root to the value at hand; when the walk ends early, to what ended it.
#[derive(Default)]
struct Path(Vec<String>);

impl Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl Path {
    fn step(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Found> {
        self.0.push(name.to_owned());
        value.serialize(&mut *self)?;
        self.0.pop();
        Ok(())
    }
}

/// The inside of a list or a map.
struct Inside<'a> {
    path: &'a mut Path,
    index: usize,
    key: String,
}

impl<'a> Inside<'a> {
    fn of(path: &'a mut Path) -> Self {
        Self {
            path,
            index: 0,
            key: String::new(),
        }
    }

    fn item(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Found> {
        let name = self.index.to_string();
        self.index += 1;
        self.path.step(&name, value)
    }
}

macro_rules! nothing_to_find {
    ($($name:ident: $type:ty),*) => {$(
        fn $name(self, _: $type) -> Result<(), Found> {
            Ok(())
        }
    )*};
}

impl<'a> Serializer for &'a mut Path {
    type Ok = ();
    type Error = Found;
    type SerializeSeq = Inside<'a>;
    type SerializeTuple = Inside<'a>;
    type SerializeTupleStruct = Inside<'a>;
    type SerializeTupleVariant = Inside<'a>;
    type SerializeMap = Inside<'a>;
    type SerializeStruct = Inside<'a>;
    type SerializeStructVariant = Inside<'a>;

    nothing_to_find!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str
    );

    fn serialize_f32(self, value: f32) -> Result<(), Found> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Found> {
        if value.is_finite() {
            Ok(())
        } else {
            Err(Found::NotFinite(value))
        }
    }

    fn serialize_none(self) -> Result<(), Found> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Found> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Found> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Found> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Found> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Found> {
        self.step(variant, value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Inside<'a>, Found> {
        Ok(Inside::of(self))
    }

    fn serialize_tuple(self, _: usize) -> Result<Inside<'a>, Found> {
        Ok(Inside::of(self))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Inside<'a>, Found> {
        Ok(Inside::of(self))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Inside<'a>, Found> {
        Ok(Inside::of(self))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Inside<'a>, Found> {
        Ok(Inside::of(self))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Inside<'a>, Found> {
        Ok(Inside::of(self))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Inside<'a>, Found> {
        Ok(Inside::of(self))
    }
}

macro_rules! inside_a_list {
    ($($of:ident, $method:ident);*) => {$(
        impl $of for Inside<'_> {
            type Ok = ();
            type Error = Found;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
                self.item(value)
            }
            fn end(self) -> Result<(), Found> {
                Ok(())
            }
        }
    )*};
}
inside_a_list!(
    SerializeSeq, serialize_element;
    SerializeTuple, serialize_element;
    SerializeTupleStruct, serialize_field;
    SerializeTupleVariant, serialize_field
);

macro_rules! inside_a_struct {
    ($($of:ident),*) => {$(
        impl $of for Inside<'_> {
            type Ok = ();
            type Error = Found;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Found> {
                self.path.step(name, value)
            }
            fn end(self) -> Result<(), Found> {
                Ok(())
            }
        }
    )*};
}
inside_a_struct!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Inside<'_> {
    type Ok = ();
    type Error = Found;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Found> {
        self.key = match serde_json::to_value(key).map_err(ser::Error::custom)? {
            serde_json::Value::String(name) => name,
            other => other.to_string(),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
        let key = std::mem::take(&mut self.key);
        self.path.step(&key, value)
    }

    fn end(self) -> Result<(), Found> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(serde::Serialize)]
    enum Shape {
        Newtype(f64),
        Tuple(f64, f64),
        Struct { a: (f32, Option<f64>) },
        Unit,
    }

    fn place(value: &impl Serialize) -> Option<String> {
        match check(value) {
            Err(ExportError::NotFinite { at, .. }) => Some(at),
            Err(other) => panic!("{other}"),
            Ok(()) => None,
        }
    }

    #[test]
    fn the_place_is_named_in_every_kind_of_value() {
        let nan = f64::NAN;
        let at = |value: Shape| place(&BTreeMap::from([(7, vec![Shape::Unit, value])]));
        assert_eq!(at(Shape::Newtype(nan)).as_deref(), Some("7.1.Newtype"));
        assert_eq!(
            at(Shape::Tuple(0.0, -f64::INFINITY)).as_deref(),
            Some("7.1.1")
        );
        assert_eq!(
            at(Shape::Struct {
                a: (1.0, Some(nan))
            })
            .as_deref(),
            Some("7.1.a.1")
        );
        assert_eq!(
            at(Shape::Struct {
                a: (f32::NAN, None)
            })
            .as_deref(),
            Some("7.1.a.0")
        );
        assert_eq!(at(Shape::Struct { a: (1.0, None) }), None);
    }
}
