//! Where blocks come from, verified: the profile's nodes, or an export's files.

use std::path::Path;
use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use keyward_ledger_client::{Client, ClientError, VerifiedBlock};
use keyward_ledger_core::trust::Trust;
use keyward_ledger_verify::Depth;
use keyward_projection::Block;
use tokio::sync::mpsc;

use crate::commands::Context;
use crate::commands::ledger::check::{check_export, trust};
use crate::commands::ledger::{connect, failed};
use crate::failure::{Failure, Result};

/// Blocks of an export that were checked and not written yet.
const AHEAD: usize = 256;

pub(super) enum Source {
    Nodes(Box<Client>),
    Export { trust: Trust, dir: std::path::PathBuf },
}

/// What comes next.
pub(super) enum Next {
    Block(Box<Block>),
    /// Nothing more: the export is at its end.
    Over,
}

/// Blocks under way.
pub(super) enum Blocks {
    Nodes {
        client: Box<Client>,
        stream: Pin<Box<dyn Stream<Item = Result<VerifiedBlock, ClientError>> + Send>>,
    },
    Export {
        checked: mpsc::Receiver<Result<Box<Block>>>,
        over: bool,
    },
}

impl Source {
    pub(super) async fn open(context: &Context, export: Option<&Path>, named: Option<&Path>) -> Result<Self> {
        match export {
            Some(dir) => Ok(Self::Export { trust: trust(context, named)?, dir: dir.to_owned() }),
            None => Ok(Self::Nodes(Box::new(connect(&context.profile()?).await?))),
        }
    }

    pub(super) fn trust(&self) -> &Trust {
        match self {
            Self::Nodes(client) => client.trust(),
            Self::Export { trust, .. } => trust,
        }
    }

    pub(super) fn client(&self) -> Option<&Client> {
        match self {
            Self::Nodes(client) => Some(client),
            Self::Export { .. } => None,
        }
    }

    /// Blocks from a height on.
    pub(super) async fn blocks(self, context: &Context, from: u64) -> Result<Blocks> {
        match self {
            Self::Nodes(client) => {
                // What is newest now is proven, so that it is known when all of that is in.
                let cannot = |error| failed("cannot follow the ledger", &error);
                client.proven_tip().await.map_err(cannot)?;
                let stream = Box::pin(client.follow(from).await.map_err(cannot)?);
                Ok(Blocks::Nodes { client, stream })
            }
            Self::Export { trust, dir } => {
                let (sender, checked) = mpsc::channel(AHEAD);
                let output = context.output;
                // Checking is work for a processor: it goes on beside the writing.
                tokio::task::spawn_blocking(move || {
                    let gone = || Failure::refused("the export is read no further", "");
                    let done = check_export(output, &trust, &dir, Depth::Execution, |_, held| {
                        let header = held.block.header();
                        let records = held.records.into_iter().map(|(_, record)| record);
                        let block = Block {
                            height: header.height,
                            time_ms: header.time_ms,
                            log_size: header.log_size,
                            log_root: header.log_root,
                            records: records.collect(),
                        };
                        sender.blocking_send(Ok(Box::new(block))).map_err(|_closed| gone())
                    });
                    if let Err(failure) = done {
                        // Whoever does not listen any more knows why.
                        let _unheard = sender.blocking_send(Err(failure)).is_err();
                    }
                });
                Ok(Blocks::Export { checked, over: false })
            }
        }
    }
}

impl Blocks {
    pub(super) async fn next(&mut self) -> Result<Next> {
        match self {
            Self::Nodes { stream, .. } => {
                let block = super::super::records::sent(stream.next().await)?;
                let header = block.block.header();
                let records = block.records.iter().map(|recorded| recorded.record().clone());
                Ok(Next::Block(Box::new(Block {
                    height: header.height,
                    time_ms: header.time_ms,
                    log_size: header.log_size,
                    log_root: header.log_root,
                    records: records.collect(),
                })))
            }
            Self::Export { checked, over } => match checked.recv().await {
                Some(block) => block.map(Next::Block),
                None => {
                    *over = true;
                    Ok(Next::Over)
                }
            },
        }
    }

    /// Whether nothing more will come.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Self::Export { over: true, .. })
    }

    /// Whether everything that is known of is in.
    pub(super) fn is_up_to_date(&self, height: u64) -> bool {
        match self {
            Self::Nodes { client, .. } => height >= client.height(),
            Self::Export { over, .. } => *over,
        }
    }
}
