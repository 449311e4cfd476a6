//! How large the values of a data type are.

use super::super::decode::{Field, Located, Map};
use super::super::diagnostics::{Diagnostic, Errors};
use super::super::file::value_size::ValueSizeFile;
use super::super::resolved;
use super::Built;
use super::popularity::ratio_of;
use crate::units::{ByteSize, Ratio};
use crate::workload::size::{Quantiles, SHARE_WHOLE, VALUE_SIZE_MAX, ValueSize};

const VALUE_SIZE_MIN: ByteSize = ByteSize(1);

/// Builds `field`, which must be there.
pub(super) fn build(field: &Field<ValueSizeFile>, errors: &mut Errors) -> Built<ValueSize> {
    let given = field.given()?;
    let mut within = |size: ByteSize, place| {
        let located = Located { value: size, place };
        within_limits(&located, errors)
    };
    match &given.value {
        ValueSizeFile::Constant(size) => {
            within(*size, given.place.clone()).map(ValueSize::Constant)
        }
        ValueSizeFile::Uniform(min, max) => {
            let (min, max) = (
                within(*min, given.place.clone()),
                within(*max, given.place.clone()),
            );
            let (min, max) = (min?, max?);
            if min > max {
                let message = "a range of sizes goes from the smaller to the larger";
                let advice = format!("write {}..{}", resolved::size(max), resolved::size(min));
                errors.push(Diagnostic::new(&given.place, message).label(advice));
                return None;
            }
            Some(ValueSize::Uniform(min, max))
        }
        ValueSizeFile::LogNormal(sizes) => {
            let sizes = sizes.given()?;
            let (median, p99) = (sizes.value.median.given(), sizes.value.p99.given());
            let median = median.and_then(|size| within_limits(size, errors));
            let p99 = p99.and_then(|size| Some((within_limits(size, errors)?, &size.place)));
            let (median, (p99, place)) = (median?, p99?);
            if p99 < median {
                let message = format!(
                    "the p99 of {} is below the median of {}",
                    resolved::size(p99),
                    resolved::size(median)
                );
                errors.push(Diagnostic::new(place, message).label("write at least the median"));
                return None;
            }
            Some(ValueSize::LogNormal { median, p99 })
        }
        ValueSizeFile::Quantiles(points) => {
            quantiles(points.given()?, errors).map(ValueSize::Quantiles)
        }
    }
}

fn within_limits(size: &Located<ByteSize>, errors: &mut Errors) -> Built<ByteSize> {
    if (VALUE_SIZE_MIN..=VALUE_SIZE_MAX).contains(&size.value) {
        return Some(size.value);
    }
    let message = format!("`value_size` cannot be {}", resolved::size(size.value));
    let advice = format!("from 1B up to {}", resolved::size(VALUE_SIZE_MAX));
    errors.push(Diagnostic::new(&size.place, message).label(advice));
    None
}

fn quantiles(points: &Located<Map<ByteSize>>, errors: &mut Errors) -> Built<Quantiles> {
    let built: Vec<_> = points
        .value
        .0
        .iter()
        .map(|(share, size)| {
            let share = ratio_of(share, errors);
            let size = size.as_ref().and_then(|size| within_limits(size, errors));
            Some((counted(share?), size?))
        })
        .collect();
    let built = Quantiles::new(built.into_iter().collect::<Option<Vec<_>>>()?);
    if built.is_none() {
        let message = "these are no quantiles of a size";
        let advice = "shares and sizes rise from line to line, and the last share is 100%: \
                      { 50%: 1KiB, 100%: 20KiB }";
        errors.push(Diagnostic::new(&points.place, message).help(advice));
    }
    built
}

/// A share, counted as quantiles are.
fn counted(share: Ratio) -> u32 {
    #[allow(clippy::cast_sign_loss, reason = "a share is not negative")]
    let counted = (share.0 * f64::from(SHARE_WHOLE)).round() as u32;
    counted
}
