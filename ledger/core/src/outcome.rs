//! What the ledger answers to an entry: accepted, or refused with a stable code.

use crate::codec::{DecodeError, Reader, Writer};

/// The longest outcome data.
pub const OUTCOME_DATA_MAX: usize = 256;

macro_rules! refusals {
    ($($code:literal $variant:ident $name:literal $why:literal,)*) => {
        /// Why an entry is refused. Codes and names never change their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Refusal {
            $(#[doc = $why] $variant = $code,)*
        }

        impl Refusal {
            /// Every refusal, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name, as errors and verdicts show it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, for people.
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$variant => $why,)* }
            }
        }
    };
}

refusals! {
    1 EntryMalformed "ENTRY_MALFORMED" "the entry is not the encoding of its kind",
    2 EntryKindUnknown "ENTRY_KIND_UNKNOWN" "no contract knows this kind of entry",
    3 RoleNotAllowed "ROLE_NOT_ALLOWED" "the submitter's role does not allow this kind of entry",
    4 Expired "EXPIRED" "the last height or time at which the entry counts has passed",
    5 ExpiryTooFar "EXPIRY_TOO_FAR" "the entry's last height lies too far ahead",
    16 AccountExists "ACCOUNT_EXISTS" "the account was opened before",
    17 AccountUnknown "ACCOUNT_UNKNOWN" "the account was never opened",
    18 AccountClosed "ACCOUNT_CLOSED" "the account is closed",
    19 CredentialVersion "CREDENTIAL_VERSION" "the credential's version is not the next one",
    20 HolderSignatureInvalid "HOLDER_SIGNATURE_INVALID" "the present credential did not sign the change",
    21 ProofInvalid "PROOF_INVALID" "the proof of possession does not verify",
    22 PublicKeyInvalid "PUBLIC_KEY_INVALID" "the public key is not a canonical key of its scheme",
    32 KeyUnknown "KEY_UNKNOWN" "the key was never bound",
    33 KeyAlreadyBound "KEY_ALREADY_BOUND" "the key is bound already",
    34 KeyFrozen "KEY_FROZEN" "the key is frozen",
    35 KeyNotFrozen "KEY_NOT_FROZEN" "the key is not frozen",
    36 KeyScheduled "KEY_SCHEDULED" "the key is scheduled for destruction",
    37 KeyNotScheduled "KEY_NOT_SCHEDULED" "the key is not scheduled for destruction",
    38 KeyDestroyed "KEY_DESTROYED" "the key is destroyed",
    39 KeySuperseded "KEY_SUPERSEDED" "a newer version of the key took over",
    40 DestructionWait "DESTRUCTION_WAIT" "the waiting period before destruction is too short or too long",
    41 DestructionEarly "DESTRUCTION_EARLY" "the waiting period before destruction is not over",
    42 KeyVersion "KEY_VERSION" "the key cannot be the next version of the named one",
    48 IntentReplayed "INTENT_REPLAYED" "an intent with this id was claimed before",
    49 IntentUnknown "INTENT_UNKNOWN" "no live intent has this id",
    50 NotExecutor "NOT_EXECUTOR" "the submitter is not the intent's executor",
    51 AlreadyReleased "ALREADY_RELEASED" "the intent was released before",
    64 ChangeMalformed "CHANGE_MALFORMED" "the change is not the encoding of one",
    65 NotAMember "NOT_A_MEMBER" "the key that signed is not that of a validator in force",
    66 StatementSignature "STATEMENT_SIGNATURE_INVALID" "the author's signature over the change, complaint or agreement does not verify",
    67 ChangeKnown "CHANGE_KNOWN" "the same change was proposed before",
    68 ChangeUnknown "CHANGE_UNKNOWN" "no such change was proposed, or it has expired",
    69 ChangeSettled "CHANGE_SETTLED" "the change took effect or was dropped before",
    70 ApprovedBefore "APPROVED_BEFORE" "the validator approved the change before",
    71 ChangeLimit "CHANGE_LIMIT" "the proposer has too many open changes, or one about the same thing",
    72 ChangeImpossible "CHANGE_IMPOSSIBLE" "the change does not fit what is in force",
    73 EvidenceInvalid "EVIDENCE_INVALID" "the two votes do not convict the validator",
    74 EpochOutOfReach "EPOCH_OUT_OF_REACH" "the epoch is neither the present one nor the one before",
    75 EvidenceKnown "EVIDENCE_KNOWN" "the validator was convicted for that epoch before",
    76 ComplaintKnown "COMPLAINT_KNOWN" "the author complained of this in that epoch before",
    77 ComplaintUnfounded "COMPLAINT_UNFOUNDED" "the ledger shows that the complaint is not so, or it is below its threshold",
    78 ComplaintLimit "COMPLAINT_LIMIT" "too many complaints are open",
    79 AgreementOld "AGREEMENT_OLD" "the height is not below the present one, or the member agreed on a later one",
    96 AuthorUnknown "AUTHOR_UNKNOWN" "the author has no credential, or the key is not one in its holder's token",
    97 AuthorReplayed "AUTHOR_REPLAYED" "the author's signature was taken before",
    98 AuthorSignatureInvalid "AUTHOR_SIGNATURE_INVALID" "the author's signature does not verify",
    99 AuthorNotNamed "AUTHOR_NOT_NAMED" "the author is not one whom the rule names for this",
    100 AuthorsMissing "AUTHORS_MISSING" "the rule asks for other or more authors",
    101 RuleInvalid "RULE_INVALID" "a number or list of the rule is out of its bounds",
    102 RuleVersion "RULE_VERSION" "the rule's version is not the next one, or not the present one",
    103 RuleUnknown "RULE_UNKNOWN" "no such rule was defined",
    104 CaseUnknown "CASE_UNKNOWN" "no live case has this id",
    105 CaseClosed "CASE_CLOSED" "the case was refused, withdrawn, vetoed or cancelled",
    106 CasePayload "CASE_PAYLOAD" "the case is about another payload",
    107 CaseUsed "CASE_USED" "the case was used up or executed before",
    112 AttemptsCooling "ATTEMPTS_COOLING" "the last attempt is too short a time ago",
    113 AttemptsSpent "ATTEMPTS_SPENT" "no attempt is left until one comes back",
    114 AttemptsLocked "ATTEMPTS_LOCKED" "all attempts of a lifetime are spent",
    115 AttemptUnknown "ATTEMPT_UNKNOWN" "no such attempt is granted, or it has ended",
    116 AttemptProven "ATTEMPT_PROVEN" "the attempt was shown to have succeeded before",
    117 SuccessInvalid "SUCCESS_INVALID" "the proof of success does not verify",
    120 RateExceeded "RATE_EXCEEDED" "the charge does not fit the rate",
    124 ApproverIsInitiator "APPROVER_IS_INITIATOR" "nobody approves what they asked for or have a part in",
    125 ApprovalGiven "APPROVAL_GIVEN" "the account has approved before",
    126 ApprovalNotGiven "APPROVAL_NOT_GIVEN" "the account has not approved",
    127 ApprovalsMissing "APPROVALS_MISSING" "not every group has given its approvals",
    132 TimelockBusy "TIMELOCK_BUSY" "an act is open under the rule",
    133 TimelockEarly "TIMELOCK_EARLY" "the act still waits",
    134 TimelockDisputed "TIMELOCK_DISPUTED" "the act is disputed: the approvers decide",
    144 VaultUnknown "VAULT_UNKNOWN" "no such vault was sealed",
    145 VaultDestroyed "VAULT_DESTROYED" "the vault was destroyed",
    146 VaultVersionStale "VAULT_VERSION_STALE" "the vault's or the shares' version is not the one that fits the present one",
    147 VaultInvalid "VAULT_INVALID" "a number or list of the sealing, refresh or dealing is out of its bounds",
    148 VaultKeeperUnknown "VAULT_KEEPER_UNKNOWN" "a keeper of the vault or dealing is none of the ledger's keepers",
    149 VaultAcknowledgement "VAULT_ACKNOWLEDGEMENT_INVALID" "a keeper's signature over the shares does not verify",
    150 VaultNotHolder "VAULT_NOT_HOLDER" "the keeper holds no such share of the vault, or does not submit itself",
    151 VaultInUse "VAULT_IN_USE" "the shares are those in force: they are erased once the vault is sealed anew or destroyed",
    152 VaultErased "VAULT_ERASED" "the keeper has erased that version before",
    153 VaultCommitmentChanged "VAULT_COMMITMENT_CHANGED" "the new shares are not of the same secrets",
    154 VaultConsentMissing "VAULT_CONSENT_MISSING" "too few of those who held the shares have taken part",
    160 DelegationNotInForce "DELEGATION_NOT_IN_FORCE" "no such delegation is in force, or it does not reach so far",
    161 DelegationLimit "DELEGATION_LIMIT" "the account has as many delegations in force as it may",
    162 DelegationNames "DELEGATION_NAMES" "the account has given its delegations as many names as it may: one given before serves again",
    163 RecoveryOpen "RECOVERY_OPEN" "a recovery of the account is open",
    168 KeyShared "KEY_SHARED" "a shared key is bound, used and replaced by the entries for shared keys alone",
    169 KeyNotShared "KEY_NOT_SHARED" "the key is not a shared one",
    170 SharedInvalid "SHARED_INVALID" "a number, list or key of the shared key is out of its bounds",
    171 SharedNameBound "SHARED_NAME_BOUND" "a shared key was bound under this name before",
    172 SharedRunUnknown "SHARED_RUN_UNKNOWN" "no generation of a shared key is open under this name, or it has ended",
    173 SharedAttempt "SHARED_ATTEMPT" "the attempt at a generation is not the next one, or not the present one",
    174 SharedKeeperUnknown "SHARED_KEEPER_UNKNOWN" "a keeper of the shared key is none of the ledger's keepers",
    175 SharedAcknowledgement "SHARED_ACKNOWLEDGEMENT_INVALID" "a keeper's signature over its share is missing or does not verify",
    176 SharedVersionStale "SHARED_VERSION_STALE" "the shares' version is not the one that fits the present one",
    177 SharedSigners "SHARED_SIGNERS" "the signers are not exactly as many keepers of the key as it takes",
    178 SharedTweak "SHARED_TWEAK" "keys of this scheme take no tweak",
    179 SharedHoldersChanged "SHARED_HOLDERS_CHANGED" "a refresh changes no holder and no threshold",
    180 SharedDeviceOther "SHARED_DEVICE_OTHER" "the device is not the one in force",
    181 SharedDeviceWaits "SHARED_DEVICE_WAITS" "another device waits to be in force",
    182 SharedDeviceNone "SHARED_DEVICE_NONE" "no device waits to be in force",
    183 SharedVetoInvalid "SHARED_VETO_INVALID" "the present device's signature against the other one does not verify",
    192 AssociationExists "ASSOCIATION_EXISTS" "an association with this id was opened before",
    193 AssociationUnknown "ASSOCIATION_UNKNOWN" "no association with this id was opened",
    194 AssociationVersion "ASSOCIATION_VERSION" "the version is not the one that fits the association's present one",
    195 AssociationInvalid "ASSOCIATION_INVALID" "the association would have no or too many members, or nothing would change",
    196 AssociationDisputed "ASSOCIATION_DISPUTED" "a member disputes the association: nothing changes until that is settled",
    197 AssociationUndisputed "ASSOCIATION_UNDISPUTED" "no such dispute of the association is open",
    198 MemberUnknown "MEMBER_UNKNOWN" "no member of the association has this address",
    199 MemberConsentMissing "MEMBER_CONSENT_MISSING" "the account of a new member has not signed",
    200 AddressTaken "ADDRESS_TAKEN" "the address stands in an association already",
    201 AddressInvalid "ADDRESS_INVALID" "the address is none of its chain",
    202 AddressUnproven "ADDRESS_UNPROVEN" "the proof that the address is its holder's does not verify",
    203 DisputeHeard "DISPUTE_HEARD" "the account has disputed this version of the association before",
    208 AddressesChosen "ADDRESSES_CHOSEN" "the account has chosen unlinkable addresses before",
    209 AddressEpoch "ADDRESS_EPOCH" "the length of the address epoch is out of its bounds, or the epoch is not under way",
    210 AddressUsed "ADDRESS_USED" "the address was used before",
    211 EpochUnderWay "EPOCH_UNDER_WAY" "the address epoch has not elapsed yet",
    212 EpochClosed "EPOCH_CLOSED" "the submitter has closed the account's address epoch before",
    213 AddressesUnknown "ADDRESSES_UNKNOWN" "the account has chosen no unlinkable addresses of this custody or tenant",
    214 DealingGap "DEALING_GAP" "the dealing does not begin where the one before ended, ends before it begins, or is longer than a day",
    216 GrantExists "GRANT_EXISTS" "a grant with this id was asked for before",
    217 AuditUnpublished "AUDIT_UNPUBLISHED" "the tenant has published no audit terms",
    218 GrantTooWide "GRANT_TOO_WIDE" "the grant has no period or end ahead, or reaches beyond the tenant's audit terms",
    219 GrantState "GRANT_STATE" "the grant does not wait to be issued, is not in force, or was revoked before",
    220 GrantUnknown "GRANT_UNKNOWN" "no grant with this id was asked for",
    221 GrantExpired "GRANT_EXPIRED" "the grant has expired",
    222 GrantScope "GRANT_SCOPE" "the account, or some of the epochs, lie outside the grant",
}

impl Refusal {
    /// The code that stands in records.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The refusal of a code, if there is one.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.code() == code)
    }
}

/// A contract's answer: `code u16 || len u16 || data`. Code 0 is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// 0 or a refusal's code.
    pub code: u16,
    /// What the contract adds: the id of what it made, where it makes one.
    pub data: Vec<u8>,
}

impl Outcome {
    /// The entry took effect.
    pub const ACCEPTED: Self = Self { code: 0, data: Vec::new() };

    /// The entry took effect, and this is what came of it.
    pub fn accepted_with(data: &[u8]) -> Self {
        Self { code: 0, data: data.to_vec() }
    }

    /// The entry changed nothing.
    pub const fn refused(refusal: Refusal) -> Self {
        Self { code: refusal.code(), data: Vec::new() }
    }

    /// Whether the entry took effect.
    pub const fn is_accepted(&self) -> bool {
        self.code == 0
    }

    /// The refusal, if it is one that this version knows.
    pub fn refusal(&self) -> Option<Refusal> {
        Refusal::from_code(self.code)
    }

    /// `ACCEPTED`, the refusal's name, or `UNKNOWN`.
    pub fn name(&self) -> &'static str {
        match self.refusal() {
            Some(refusal) => refusal.name(),
            None if self.is_accepted() => "ACCEPTED",
            None => "UNKNOWN",
        }
    }

    /// Appends the encoding.
    pub fn write(&self, out: &mut Writer) {
        // INVARIANT: contracts keep data within OUTCOME_DATA_MAX; a longer one is cut off on every node alike.
        let data = self.data.get(..OUTCOME_DATA_MAX).unwrap_or(&self.data);
        out.u16(self.code).u16(u16::try_from(data.len()).unwrap_or(0)).raw(data);
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(4 + self.data.len());
        self.write(&mut out);
        out.finish()
    }

    /// Reads an encoding from the front.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = reader.u16("outcome code")?;
        let len = usize::from(reader.u16("outcome data")?);
        if len > OUTCOME_DATA_MAX {
            return Err(DecodeError::TooLong { what: "outcome data", len, max: OUTCOME_DATA_MAX });
        }
        Ok(Self { code, data: reader.take("outcome data", len)?.to_vec() })
    }

    /// Decodes exactly one outcome.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let outcome = Self::read(&mut reader)?;
        reader.finish("outcome")?;
        Ok(outcome)
    }
}
