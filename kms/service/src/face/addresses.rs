//! `keyward.v1.Addresses`.

use bytes::Bytes;
use keyward_domain::Code;
use keyward_ledger_core::unlinkable::PAYMENT_BYTES;
use keyward_proto::custody::{
    self as proto, address_source::Source, addresses_server::Addresses, ask_address_request,
    begin_address_request, sign_address_request,
};
use keyward_store::{AddressEpoch, AddressOrigin, NewAddress};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{Face, convert::array};
use crate::{
    addresses::{Announced, AskAddress, BeginAddress, Listed, Scanned, SignAddress},
    failure::Failure,
    guard::{Input, SignedAddress},
};

#[tonic::async_trait]
impl Addresses for Face {
    async fn prepare(
        &self,
        request: Request<proto::PrepareAddressesRequest>,
    ) -> Result<Response<proto::PrepareAddressesResponse>, Status> {
        self.answer("address.prepare", request, |custody, caller, _| async move {
            let prepared = custody.prepare_addresses(&caller).await?;
            Ok(proto::PrepareAddressesResponse {
                tenant: Bytes::copy_from_slice(&prepared.tenant),
                epoch_ms: prepared.epoch_ms,
                height: prepared.height,
                chain_id: Bytes::copy_from_slice(&prepared.chain_id),
            })
        })
        .await
    }

    async fn choose(
        &self,
        request: Request<proto::ChooseAddressesRequest>,
    ) -> Result<Response<proto::ChooseAddressesResponse>, Status> {
        self.answer("address.choose", request, |custody, caller, m| async move {
            let receipt = custody.choose_addresses(&caller, &m.entry, &m.idempotency_key).await?;
            Ok(proto::ChooseAddressesResponse { receipt: receipt.into() })
        })
        .await
    }

    async fn show(
        &self,
        request: Request<proto::ShowAddressesRequest>,
    ) -> Result<Response<proto::ShowAddressesResponse>, Status> {
        self.answer("address.show", request, |custody, caller, _| async move {
            let shown = custody.show_addresses(&caller).await?;
            let epochs = shown.epochs.into_iter().map(epoch).collect();
            Ok(proto::ShowAddressesResponse { chosen: shown.chosen.into(), epochs })
        })
        .await
    }

    async fn next(
        &self,
        request: Request<proto::NextAddressesRequest>,
    ) -> Result<Response<proto::NextAddressesResponse>, Status> {
        self.answer("address.next", request, |custody, caller, m| async move {
            let given = custody.next_addresses(&caller, m.count, &m.idempotency_key).await?;
            Ok(proto::NextAddressesResponse { addresses: given.into_iter().map(listed).collect() })
        })
        .await
    }

    async fn list(
        &self,
        request: Request<proto::ListAddressesRequest>,
    ) -> Result<Response<proto::ListAddressesResponse>, Status> {
        self.answer("address.list", request, |custody, caller, m| async move {
            let page = custody.list_addresses(&caller, m.limit, m.before_unix_ms).await?;
            Ok(proto::ListAddressesResponse { addresses: page.into_iter().map(listed).collect() })
        })
        .await
    }

    async fn sign(
        &self,
        request: Request<proto::SignAddressRequest>,
    ) -> Result<Response<proto::SignAddressResponse>, Status> {
        self.answer("address.sign", request, |custody, caller, m| async move {
            let input = match m.payload {
                Some(sign_address_request::Payload::Message(message)) => Input::Message(message),
                Some(sign_address_request::Payload::Digest(digest)) => Input::Digest(digest),
                None => return Err(nothing()),
            };
            let public_key = match m.public_key.is_empty() {
                true => None,
                false => Some(array("public_key", &m.public_key)?),
            };
            let (scheme, format, mark) = (m.scheme, m.format, m.idempotency_key.to_vec());
            let case = case(&m.case_id)?;
            let ask = SignAddress { public_key, scheme, input, format, mark, case };
            custody.sign_with_address(&caller, ask).await.map(signed)
        })
        .await
    }

    async fn ask(
        &self,
        request: Request<proto::AskAddressRequest>,
    ) -> Result<Response<proto::AskAddressResponse>, Status> {
        self.answer("address.ask", request, |custody, caller, m| async move {
            let input = match m.payload {
                Some(ask_address_request::Payload::Message(message)) => Input::Message(message),
                Some(ask_address_request::Payload::Digest(digest)) => Input::Digest(digest),
                None => return Err(nothing()),
            };
            let (rule, live_ms) = (array("rule", &m.rule)?, m.live_ms);
            let (scheme, format, mark) = (m.scheme, m.format, m.idempotency_key.to_vec());
            let ask = AskAddress { rule, live_ms, scheme, input, format, mark };
            let asked = custody.ask_for_address(&caller, ask).await?;
            Ok(proto::AskAddressResponse { receipt: asked.receipt.into(), leaf_index: asked.leaf_index })
        })
        .await
    }

    async fn begin(
        &self,
        request: Request<proto::BeginAddressRequest>,
    ) -> Result<Response<proto::BeginAddressResponse>, Status> {
        self.answer("address.begin", request, |custody, caller, m| async move {
            let begun = custody.begin_with_address(&caller, begin(m)?).await?;
            let (intent, opening) = (begun.intent.into(), Bytes::copy_from_slice(&begun.opening));
            Ok(proto::BeginAddressResponse { intent, opening })
        })
        .await
    }

    async fn record(
        &self,
        request: Request<proto::RecordAddressRequest>,
    ) -> Result<Response<proto::RecordAddressResponse>, Status> {
        self.answer("address.record", request, |custody, caller, m| async move {
            let (intent, proof) = (array("intent_id", &m.intent_id)?, array("proof", &m.proof)?);
            let receipt = custody.record_address(&caller, &intent, proof).await?;
            Ok(proto::RecordAddressResponse { receipt: receipt.into() })
        })
        .await
    }

    async fn finish(
        &self,
        request: Request<proto::FinishAddressRequest>,
    ) -> Result<Response<proto::SignAddressResponse>, Status> {
        self.answer("address.finish", request, |custody, caller, m| async move {
            let intent = array("intent_id", &m.intent_id)?;
            custody.finish_address(&caller, &intent, &m.signature).await.map(signed)
        })
        .await
    }

    async fn close(
        &self,
        request: Request<proto::CloseAddressEpochRequest>,
    ) -> Result<Response<proto::CloseAddressEpochResponse>, Status> {
        self.answer("address.close", request, |custody, caller, m| async move {
            let leaf = Zeroizing::new(array("viewing_leaf", &m.viewing_leaf)?);
            let receipt = custody.close_own_epoch(&caller, m.epoch, leaf, &m.spending_point).await?;
            Ok(proto::CloseAddressEpochResponse { receipt: receipt.into() })
        })
        .await
    }

    async fn meta(
        &self,
        request: Request<proto::MetaAddressRequest>,
    ) -> Result<Response<proto::MetaAddressResponse>, Status> {
        self.answer("address.meta", request, |custody, caller, _| async move {
            let (meta_address, ends_unix_ms) = custody.meta_address(&caller).await?;
            Ok(proto::MetaAddressResponse { meta_address: meta_address.into(), ends_unix_ms })
        })
        .await
    }

    async fn announce(
        &self,
        request: Request<proto::AnnouncePaymentRequest>,
    ) -> Result<Response<proto::AnnouncePaymentResponse>, Status> {
        self.answer("address.announce", request, |custody, caller, m| async move {
            let payment = array::<PAYMENT_BYTES>("payment", &m.payment)?;
            let epoch = (m.epoch_ms, m.epoch);
            let receipt = custody.announce_payment(&caller, epoch, payment, &m.idempotency_key).await?;
            Ok(proto::AnnouncePaymentResponse { receipt: receipt.into() })
        })
        .await
    }

    async fn announced(
        &self,
        request: Request<proto::AnnouncedRequest>,
    ) -> Result<Response<proto::AnnouncedResponse>, Status> {
        self.answer("address.announced", request, |custody, caller, m| async move {
            let epochs = (m.first_epoch, m.last_epoch);
            let (found, next_leaf_index) =
                custody.announced_payments(&caller, epochs, m.from_leaf_index).await?;
            let one = |one: Announced| proto::AnnouncedPayment {
                epoch: one.epoch,
                payment: Bytes::copy_from_slice(&one.payment),
                leaf_index: one.leaf_index,
            };
            let payments = found.into_iter().map(one).collect();
            Ok(proto::AnnouncedResponse { payments, next_leaf_index })
        })
        .await
    }

    async fn scan(
        &self,
        request: Request<proto::ScanPaymentsRequest>,
    ) -> Result<Response<proto::ScanPaymentsResponse>, Status> {
        self.answer("address.scan", request, |custody, caller, m| async move {
            let epochs = (m.first_epoch, m.last_epoch);
            let Scanned { found, looked_at, next_leaf } =
                custody.scan_payments(&caller, epochs, m.from_leaf_index).await?;
            Ok(proto::ScanPaymentsResponse {
                found: found.into_iter().map(listed).collect(),
                looked_at,
                next_leaf_index: next_leaf.unwrap_or_default(),
            })
        })
        .await
    }
}

fn nothing() -> Failure {
    Failure::new(Code::PayloadMissing, "there is neither a message nor a digest")
}

fn begin(m: proto::BeginAddressRequest) -> Result<BeginAddress<Bytes>, Failure> {
    let input = match m.payload {
        Some(begin_address_request::Payload::Message(message)) => Input::Message(message),
        Some(begin_address_request::Payload::Digest(digest)) => Input::Digest(digest),
        None => return Err(nothing()),
    };
    let source = m.source.ok_or_else(|| Failure::new(Code::InvalidArgument, "`source` is missing"))?;
    let origin = match source.source {
        Some(Source::Index(index)) => AddressOrigin::Index(index),
        Some(Source::Payment(payment)) => AddressOrigin::Payment(array("payment", &payment)?),
        None => return Err(Failure::new(Code::InvalidArgument, "the source names no place in its epoch")),
    };
    let public_key = array("public_key", &m.public_key)?;
    Ok(BeginAddress {
        epoch: m.epoch,
        leaf: Zeroizing::new(array("viewing_leaf", &m.viewing_leaf)?),
        spending: m.spending_point.to_vec(),
        address: NewAddress { public_key, epoch: source.epoch, origin },
        scheme: m.scheme,
        input,
        format: m.format,
        mark: m.idempotency_key.to_vec(),
        case: case(&m.case_id)?,
    })
}

fn case(bytes: &Bytes) -> Result<Option<[u8; 32]>, Failure> {
    if bytes.is_empty() { Ok(None) } else { array("case_id", bytes).map(Some) }
}

fn source(address: &NewAddress) -> proto::AddressSource {
    let source = match address.origin {
        AddressOrigin::Index(index) => Source::Index(index),
        AddressOrigin::Payment(payment) => Source::Payment(Bytes::copy_from_slice(&payment)),
    };
    proto::AddressSource { epoch: address.epoch, source: Some(source) }
}

fn listed(Listed { row, state }: Listed) -> proto::ListedAddress {
    proto::ListedAddress {
        public_key: Bytes::copy_from_slice(&row.new.public_key),
        source: Some(source(&row.new)),
        state: state.to_owned(),
        leaf_index: row.leaf.map(|(leaf_index, _)| leaf_index).unwrap_or_default(),
        created_unix_ms: row.created_ms,
    }
}

fn signed(signed: SignedAddress) -> proto::SignAddressResponse {
    proto::SignAddressResponse {
        public_key: Bytes::copy_from_slice(&signed.address.public_key),
        signature: signed.signature.into(),
        receipt: signed.receipt.into(),
        source: Some(source(&signed.address)),
    }
}

fn epoch(row: AddressEpoch) -> proto::AddressEpoch {
    proto::AddressEpoch {
        epoch: row.epoch,
        addresses: row.given,
        records: row.records,
        closed: row.closed_leaf.is_some(),
        closed_leaf_index: row.closed_leaf.unwrap_or_default(),
    }
}
