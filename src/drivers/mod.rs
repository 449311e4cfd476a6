//! What drives users: one driver per file, named as users write it.
