//! No remote layer: for an engine that has none. Such an engine is
//! `Engine::<NoRemote, _>::new(policies, local, None, …)`; there is no value of this type, so
//! nothing can be asked of it. Also what a remote layer without subscriptions or a queue gives for them.

use std::time::Duration;

use crate::engine::data_type::{Key, Limit};
use crate::engine::layer::{
    Admission, Appended, Delivery, Entry, Fill, LayerError, Leased, Notice, Queue, QueueId,
    QueuedWrite, Remote, Subscription, TakenBack, Token, Version, Waiting,
};

/// The type of a remote layer that is left out.
#[derive(Clone, Copy, Debug)]
pub enum NoRemote {}

impl Subscription for NoRemote {
    async fn next(&mut self) -> Option<Notice> {
        match *self {}
    }
}

impl Queue for NoRemote {
    fn is_new(&self) -> bool {
        match *self {}
    }

    async fn next_batch(&mut self, _: usize) -> Result<Vec<Delivery>, LayerError> {
        match *self {}
    }

    async fn take_back(
        &mut self,
        _: Option<Duration>,
        _: usize,
        _: u32,
    ) -> Result<TakenBack, LayerError> {
        match *self {}
    }

    async fn keep(&mut self, _: &[QueueId]) -> Result<bool, LayerError> {
        match *self {}
    }

    async fn acknowledge(&mut self, _: &[QueueId]) -> Result<(), LayerError> {
        match *self {}
    }

    async fn bury(&mut self, _: &Delivery, _: &str) -> Result<(), LayerError> {
        match *self {}
    }

    async fn waiting(&mut self) -> Result<Waiting, LayerError> {
        match *self {}
    }
}

impl Remote for NoRemote {
    type Subscription = Self;
    type Queue = Self;

    async fn get(&self, _: &Key) -> Result<Option<Entry>, LayerError> {
        match *self {}
    }

    async fn fill(&self, _: &Key, _: &Entry, _: Duration) -> Result<Fill, LayerError> {
        match *self {}
    }

    async fn overwrite(&self, _: &Key, _: &Entry, _: Duration) -> Result<(), LayerError> {
        match *self {}
    }

    async fn get_or_lease(&self, _: &Key, _: Token, _: Duration) -> Result<Leased, LayerError> {
        match *self {}
    }

    async fn fill_leased(
        &self,
        _: &Key,
        _: Token,
        _: Option<(&Entry, Duration)>,
    ) -> Result<Fill, LayerError> {
        match *self {}
    }

    async fn lock(&self, _: &Key, _: Token, _: Duration) -> Result<bool, LayerError> {
        match *self {}
    }

    async fn renew_lock(&self, _: &Key, _: Token, _: Duration) -> Result<bool, LayerError> {
        match *self {}
    }

    async fn unlock(&self, _: &Key, _: Option<Token>) -> Result<(), LayerError> {
        match *self {}
    }

    async fn invalidate(&self, _: &[Key], _: Version) -> Result<(), LayerError> {
        match *self {}
    }

    async fn publish(&self, _: &Notice) -> Result<(), LayerError> {
        match *self {}
    }

    async fn subscribe(&self) -> Result<Self, LayerError> {
        match *self {}
    }

    async fn append(
        &self,
        _: &QueuedWrite,
        _: &Entry,
        _: Duration,
        _: u64,
    ) -> Result<Appended, LayerError> {
        match *self {}
    }

    async fn queue(&self, _: &str) -> Result<Self, LayerError> {
        match *self {}
    }

    async fn admit(&self, _: &Key, _: Limit) -> Result<Admission, LayerError> {
        match *self {}
    }
}
