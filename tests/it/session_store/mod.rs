//! Sessions in a store of their own, as users of scenarios and instances meet it.

mod instance;
mod run;
