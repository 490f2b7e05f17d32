//! The `tollgate` program.

use std::process::ExitCode;

/// Many short-lived buffers across threads: less memory and time than the system allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tollgate::cli::main()
}
