//! `none`: everyone who misses loads. A control, and right where loads are cheap.

use crate::engine::data_type::{DataType, DataTypeId, Key};
use crate::engine::layer::{Origin, Remote};
use crate::engine::read::{Looked, found};
use crate::engine::{Engine, Fetch};

impl<R: Remote, O: Origin> Engine<R, O> {
    pub(in crate::engine) async fn fetch_alone(
        &self,
        data_type: DataTypeId,
        policy: &DataType,
        key: &Key,
    ) -> Fetch {
        match self.look_remotely(data_type, key).await {
            Looked::Fresh(entry) => Ok(found(entry)),
            looked => Box::pin(self.load_and_fill(data_type, policy, key, looked)).await,
        }
    }
}
