//! Who may do what, slowly, from what is said and not from how it is written: nothing of
//! the evaluator, the parser and the ACLs of the server is in it.

use costrel_policy::Action;
use costrel_protocol::dialect::Dialect;
use costrel_protocol::ops::{self, Operation};

use super::said::{About, Document, Principal, Said, Statement};
use super::{Asked, Kind};

pub struct Case<'a> {
    pub kind: Kind,
    pub said: &'a Said,
    /// What statements are about.
    pub asked: Asked,
}

/// A bucket, as what is said of it and what is in it.
struct Place<'a> {
    policies: &'a [Document],
    bucket_acl: &'static str,
    object_acl: &'static str,
    ignores_public_acls: bool,
    restricts_public_policies: bool,
    owner_owns: bool,
}

impl Case<'_> {
    /// Whether the operation itself may be done, and whatever else it takes.
    pub fn is_allowed(&self) -> bool {
        let asked = self.asked.operation;
        let reads = matches!(asked, Operation::CopyObject | Operation::UploadPartCopy);
        let source = Place {
            policies: &self.said.of_source,
            bucket_acl: "private",
            object_acl: self.said.source_acl,
            ignores_public_acls: false,
            restricts_public_policies: false,
            owner_owns: false,
        };
        // Whoever asks for attributes must be one who may read the object.
        let heads = asked == Operation::GetObjectAttributes;
        self.may(asked, &self.here())
            && (!reads || self.may(Operation::GetObject, &source))
            && (!heads || self.may(Operation::HeadObject, &self.here()))
    }

    /// Whether he may learn of what is not there.
    pub fn may_list(&self) -> bool {
        self.may(Operation::ListObjects, &self.here())
    }

    fn here(&self) -> Place<'_> {
        let said = self.said;
        Place {
            policies: &said.of_bucket,
            bucket_acl: said.bucket_acl,
            object_acl: said.object_acl,
            ignores_public_acls: said.ignores_public_acls,
            restricts_public_policies: said.restricts_public_policies,
            owner_owns: said.owner_owns,
        }
    }

    fn may(&self, operation: Operation, place: &Place<'_>) -> bool {
        let (kind, said) = (self.kind, self.said);
        if matches!(kind, Kind::Unknown | Kind::Expired) {
            return false;
        }
        if kind.has_session() && !self.clears(&said.session, operation) {
            return false;
        }
        let is_root = matches!(kind, Kind::Root | Kind::RootSession);
        if is_root && operation.on_policy() {
            return true;
        }
        let of_account = matches!(operation, Operation::ListBuckets | Operation::CreateBucket);
        let of_bucket = if of_account { &[][..] } else { place.policies };
        let for_him = |statement: &Statement| match statement.principal {
            Principal::Everybody => true,
            Principal::TheUser => kind.is_the_user(),
            Principal::AnotherUser => false,
        };
        let all = |_: &Statement| true;
        // COS: the root may always do everything.
        let counts = |document: &&Document| !(is_root && document.grammar == Dialect::Cos);
        let mut denying = of_bucket.iter().filter(counts);
        if denying.any(|document| self.says(document, operation, false, for_him)) {
            return false;
        }
        if is_root {
            return true;
        }
        let own = said.own.as_ref().filter(|_| kind.has_policies());
        let boundary = Some(&said.boundary).filter(|_| kind.has_boundary());
        if own.into_iter().chain(boundary).any(|one| self.says(one, operation, false, all)) {
            return false;
        }
        let within = boundary.is_none_or(|one| self.says(one, operation, true, all));
        if within && own.is_some_and(|one| self.says(one, operation, true, all)) {
            return true;
        }
        if of_account || (kind.is_role() && !within) {
            return false;
        }
        let lets_anybody_in = |document: &Document| {
            let mut statements = document.statements.iter();
            statements.any(|one| one.allows && one.principal == Principal::Everybody)
        };
        let restricts = place.restricts_public_policies && kind == Kind::Nobody;
        let mut allowing = of_bucket.iter().filter(|one| !(restricts && lets_anybody_in(one)));
        allowing.any(|document| self.says(document, operation, true, for_him))
            || self.is_granted(operation, place)
    }

    /// Allows it, and denies it nowhere.
    fn clears(&self, document: &Document, operation: Operation) -> bool {
        let all = |_: &Statement| true;
        self.says(document, operation, true, all) && !self.says(document, operation, false, all)
    }

    fn says(
        &self,
        document: &Document,
        operation: Operation,
        allows: bool,
        for_him: impl Fn(&Statement) -> bool,
    ) -> bool {
        let name = |operation, versioned| {
            let Action { cam, iam } = ops::action(operation, versioned);
            if document.grammar == Dialect::Cos { cam } else { iam }
        };
        let Asked { operation: asked, versioned } = self.asked;
        let is_of_version = operation == asked || asked == Operation::GetObjectAttributes;
        let named = name(operation, versioned && is_of_version);
        let (is_asked, is_read) =
            (named == name(asked, versioned), named == name(Operation::GetObject, false));
        document.statements.iter().any(|statement| {
            let about = match statement.about {
                About::All => true,
                About::Asked => is_asked,
                About::AskedAndRead => is_asked || is_read,
                About::AllBut => !is_asked,
                About::Other => false,
            };
            statement.allows == allows && about && for_him(statement)
        })
    }

    /// By the list of the bucket or of the object, as the user's guides of both services
    /// map permissions to requests.
    fn is_granted(&self, operation: Operation, place: &Place<'_>) -> bool {
        use Operation::*;
        let (list, writes) = match operation {
            // Who may write may not remove what was there before him.
            DeleteObject if self.asked.versioned => return false,
            HeadBucket | ListObjects | ListObjectsV2 | ListObjectVersions
            | ListMultipartUploads => (place.bucket_acl, false),
            PutObject
            | CopyObject
            | AppendObject
            | PutSymlink
            | PostObject
            | DeleteObject
            | DeleteObjects
            | CreateMultipartUpload
            | UploadPart
            | UploadPartCopy
            | CompleteMultipartUpload => (place.bucket_acl, true),
            GetObject | HeadObject => (place.object_acl, false),
            _ => return false,
        };
        let granted = match list {
            "public-read" => !writes,
            "public-read-write" => true,
            "authenticated-read" => !writes && self.kind != Kind::Nobody,
            _ => false,
        };
        granted && !place.ignores_public_acls && !place.owner_owns
    }
}
