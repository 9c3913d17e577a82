//! When to end: Ctrl-C, a request of the system, or the supervisor gone.

use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

/// Returns on Ctrl-C (SIGINT) or SIGTERM.
pub(crate) async fn end() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Returns when standard input closes: the supervisor let go of us, or died.
pub(crate) async fn end_of_input() {
    let mut input = tokio::io::stdin();
    let mut bytes = [0; 64];
    while matches!(input.read(&mut bytes).await, Ok(read) if read > 0) {}
}

/// From now on a file that may not grow is an error like a full disk, and not this process's death.
pub(crate) fn bear_file_limits() {
    let number = rustix::process::Signal::XFSZ.as_raw();
    // Without a handler it ends the process: that is no worse than before.
    let _unheard = signal(SignalKind::from_raw(number)).is_err();
}
