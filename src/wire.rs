//! What travels over the network, read no further than the program acts on it.

pub mod usage;
