//! `keyward audit open`: what has elapsed of a grant's period is opened, and kept in a grant file.

use std::path::{Path, PathBuf};

use keyward_audit::{Dealt, Delivery, GrantFile, Opening};
use keyward_client::audit::{GrantKey, OpenGrant, Opened, OpenedDealing, ShownGrant};
use keyward_client::{Client, EvidenceError, Login};
use keyward_ledger_client::Client as LedgerClient;

use super::file::{self, FILE, LOCK};
use super::run::{Run, runs};
use super::told::Told;
use super::{Context, failed, parse_account, parse_grant};
use crate::commands::delegate::word::Word;
use crate::commands::ledger::connect;
use crate::commands::own::FOLDER;
use crate::failure::{Exit, Failure, Result};
use crate::files;
use crate::lock::Lock;
use crate::output::aside;
use crate::profile::Profile;

#[derive(Debug, clap::Args)]
pub(super) struct Open {
    /// The grant, 64 hex digits.
    grant: String,
    /// Where the file `grant` is kept (mode 0600): who holds it sees what was opened, without the grant's key.
    folder: PathBuf,
    /// This account alone, 64 hex digits; may be given several times. Without it, all that the grant opens.
    #[arg(long = "account", value_name = "ACCOUNT")]
    accounts: Vec<String>,
    /// From this epoch on, also what was opened before; without it, what was not opened yet.
    #[arg(long, value_name = "EPOCH")]
    first: Option<u32>,
    /// Up to this epoch; without it, up to the last one that has elapsed.
    #[arg(long, value_name = "EPOCH")]
    last: Option<u32>,
    #[command(flatten)]
    word: Word,
}

/// What opens, and what it is opened with.
struct Desk<'a> {
    client: &'a Client,
    login: &'a Login,
    key: &'a GrantKey,
    shown: &'a ShownGrant,
}

impl Open {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let id = parse_grant(&self.grant)?;
        let named = self.accounts.iter().map(|account| parse_account(account));
        let named = named.collect::<Result<Vec<_>>>()?;
        let _alone = self.alone()?;
        let profile = context.profile()?;
        let (client, login) = self.word.login(context).await?;
        let cannot = failed("cannot open the grant");
        let shown = client.show_grant(&id).await.map_err(&cannot)?;
        let device = client.device_keys(&profile.path(Path::new(FOLDER)));
        let device = device.map_err(failed("cannot use the keys on this device"))?;
        let key = client.grant_key(&login, &device, &shown.state.grant).map_err(&cannot)?;
        let ledger = connect(&profile).await?;
        let mut file = self.file(&profile, &ledger, &shown).await?;
        let accounts = match named.is_empty() {
            true => client.grant_accounts(&shown.state.grant).await.map_err(&cannot)?,
            false => named,
        };
        let desk = Desk { client: &client, login: &login, key: &key, shown: &shown };
        let mut told = Told::of(id, self.folder.join(FILE));
        for account in accounts {
            match self.open(&desk, &ledger, (&mut file, &mut told), account).await {
                Ok(()) => {}
                Err(failure) if failure.exit == Exit::Refused => {
                    aside(&format!("account {}: {}", hex::encode(account), failure.message()));
                    told.refused.push((account, failure));
                }
                Err(failure) => return Err(failure),
            }
        }
        told.tell(context)
    }

    /// Keeps others out of the folder: each writes the file whole, and would lose what the other has opened on record meanwhile.
    fn alone(&self) -> Result<Lock> {
        files::make_folder(&self.folder)?;
        Lock::take(&self.folder.join(LOCK))?.ok_or_else(|| {
            let what = format!("another `keyward audit open` works in `{}`", self.folder.display());
            let failure = Failure::refused(what, "wait until it has ended, or name another folder");
            Failure { code: Some("GRANT_FILE_BUSY".to_owned()), ..failure }
        })
    }

    /// The grant file that is there, or a new one with what the ledger has of the grant so far.
    async fn file(&self, profile: &Profile, ledger: &LedgerClient, shown: &ShownGrant) -> Result<GrantFile> {
        let path = self.folder.join(FILE);
        if path.exists() {
            return file::read(&path, &profile.path(&profile.file.trust), &shown.state.grant);
        }
        let purpose = shown.purpose.clone().ok_or_else(|| {
            let next = "open it through the service that it was asked for through";
            Failure::refused("the service does not keep what the grant is for", next)
        })?;
        file::gathered(ledger, shown, purpose).await
    }

    /// Opens what an account's period has to open, run by run; each is kept before the next one is opened.
    async fn open(
        &self,
        desk: &Desk<'_>,
        ledger: &LedgerClient,
        (file, told): (&mut GrantFile, &mut Told),
        account: [u8; 32],
    ) -> Result<()> {
        let known = file.openings.iter().filter(|opening| opening.account == account);
        let known =
            known.flat_map(Opening::covers).map(|cover| (*cover.epochs().start(), *cover.epochs().end()));
        let known: Vec<_> = known.filter(|_| self.first.is_none()).collect();
        let asked = (self.first, self.last);
        let elapsed = runs(ledger, desk.shown, account, asked, &known).await?;
        told.shut.extend(elapsed.shut.into_iter().map(|shut| (account, shut)));
        for Run { first, last, own } in elapsed.runs {
            if file.is_full() {
                let next = "open the other accounts (`--account`) into another folder, whose file is of the same grant";
                return Err(Failure::refused("the grant file is full", next));
            }
            let opened = desk
                .client
                .open_grant(desk.login, (desk.shown, desk.key), (account, first, last))
                .await
                .map_err(failed("cannot open the account's epochs"))?;
            let open = opened.open;
            file.add(desk.opening(opened, own)?);
            file::write(&self.folder.join(FILE), file)?;
            told.opened.push(open);
        }
        Ok(())
    }
}

impl Desk<'_> {
    /// What came, as it is kept.
    fn opening(&self, opened: Opened, own: bool) -> Result<Opening> {
        let cannot = failed("cannot open the account's epochs");
        let OpenGrant { account, first, last, .. } = opened.open;
        let delivery = if own {
            let gathered = self.client.gathered(self.key, &opened).map_err(&cannot)?;
            for fault in gathered.iter().flat_map(|dealing| &dealing.faults) {
                aside(&format!("keeper `{}` gave no part that counts: {}", fault.keeper, fault.cause));
            }
            let ends = gathered.first().zip(gathered.last());
            if ends.map(|(one, other)| (*one.cover.epochs().start(), *other.cover.epochs().end()))
                != Some((first, last))
            {
                return Err(cannot(EvidenceError::Substituted("fewer dealings than the ledger has").into()));
            }
            let dealt = gathered.into_iter();
            Delivery::Own(
                dealt.map(|OpenedDealing { dealing, cover, .. }| Dealt { dealing, cover }).collect(),
            )
        } else {
            let none = || cannot(EvidenceError::Substituted("an opening without its package").into());
            let (delivered, cover) = opened.delivered.ok_or_else(none)?;
            Delivery::Hosted { delivered: delivered.receipt, cover }
        };
        Ok(Opening { account, first, last, opened: opened.opened.receipt, delivery })
    }
}
