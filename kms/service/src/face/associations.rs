//! `keyward.v1.Associations`.

use keyward_proto::custody::{self as proto, associations_server::Associations};
use tonic::{Request, Response, Status};

use super::{Face, convert::array};

#[tonic::async_trait]
impl Associations for Face {
    async fn show(
        &self,
        request: Request<proto::ShowAssociationRequest>,
    ) -> Result<Response<proto::ShowAssociationResponse>, Status> {
        self.answer("association.show", request, |custody, caller, m| async move {
            let id = array("association", &m.association)?;
            let keys = m.keys.iter().map(|key| array("keys", key)).collect::<Result<Vec<_>, _>>()?;
            let shown = custody.show_association(&caller, &id, m.members, &keys).await?;
            let members = shown.members.into_iter().map(|member| proto::ProvenMember {
                address: member.address.into(),
                account: member.account.into(),
                key: member.key.into(),
            });
            let members = members.collect();
            let (association, again) = (shown.association.into(), shown.again.into());
            let keys = shown.keys.into_iter().map(Into::into).collect();
            Ok(proto::ShowAssociationResponse { association, members, again, keys })
        })
        .await
    }

    async fn hand_in(
        &self,
        request: Request<proto::AssociationEntryRequest>,
    ) -> Result<Response<proto::AssociationEntryResponse>, Status> {
        self.answer("association.hand-in", request, |custody, caller, m| async move {
            let done = custody.hand_in_association(&caller, &m.entry).await?;
            Ok(proto::AssociationEntryResponse { receipt: done.receipt.into(), leaf_index: done.leaf_index })
        })
        .await
    }
}
