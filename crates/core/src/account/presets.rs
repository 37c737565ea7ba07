//! Policies that are there from the beginning and stay as they are, under the names that
//! AWS has for them.

use costrel_policy::Grammar;

use super::labels::Labels;
use super::managed::ManagedPolicy;

/// Numbers below are theirs alone.
pub(super) const PRESETS_END: u64 = 1000;

struct Preset {
    id: u64,
    name: &'static str,
    description: &'static str,
    actions: &'static str,
}

const PRESETS: &[Preset] = &[
    Preset { id: 1, name: "AdministratorAccess", description: "Everything", actions: r#""*""# },
    Preset {
        id: 2,
        name: "AmazonS3FullAccess",
        description: "Everything that is done to buckets and objects",
        actions: r#""s3:*""#,
    },
    Preset {
        id: 3,
        name: "AmazonS3ReadOnlyAccess",
        description: "Reading buckets and objects",
        actions: r#"["s3:Get*", "s3:List*"]"#,
    },
    Preset {
        id: 4,
        name: "IAMFullAccess",
        description: "Everything that is done to users, groups, roles and policies",
        actions: r#""iam:*""#,
    },
    Preset {
        id: 5,
        name: "IAMReadOnlyAccess",
        description: "Reading users, groups, roles and policies",
        actions: r#"["iam:Get*", "iam:List*"]"#,
    },
];

impl Preset {
    fn policy(&self) -> ManagedPolicy {
        let document = format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": {}, "Resource": "*"}}]}}"#,
            self.actions
        );
        ManagedPolicy {
            id: self.id,
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            document: document.into(),
            grammar: Grammar::Iam,
            created_ms: 0,
            updated_ms: 0,
            default_version: 1,
            labels: Labels::default(),
        }
    }
}

impl ManagedPolicy {
    /// Whether it was there from the beginning.
    pub fn is_preset(&self) -> bool {
        self.id < PRESETS_END
    }

    /// All that were.
    pub fn presets() -> Vec<ManagedPolicy> {
        PRESETS.iter().map(Preset::policy).collect()
    }

    /// Those whose names come behind one, in the order of their names.
    pub fn presets_behind(name: &str) -> Vec<ManagedPolicy> {
        let mut presets = ManagedPolicy::presets();
        presets.retain(|preset| &preset.name[..] > name);
        presets.sort_by(|a, b| a.name.cmp(&b.name));
        presets
    }

    pub(super) fn preset(id: u64) -> Option<ManagedPolicy> {
        PRESETS.iter().find(|preset| preset.id == id).map(Preset::policy)
    }

    pub fn preset_named(name: &str) -> Option<ManagedPolicy> {
        PRESETS.iter().find(|preset| preset.name == name).map(Preset::policy)
    }
}

#[cfg(test)]
mod tests {
    use costrel_policy::Policy;

    use super::*;

    #[test]
    fn presets_are_policies_of_numbers_of_their_own() {
        let presets = ManagedPolicy::presets();
        for (n, preset) in presets.iter().enumerate() {
            let read = Policy::of_user(preset.grammar, &preset.document);
            assert!(preset.is_preset() && read.is_ok(), "{}", preset.name);
            assert_eq!(preset.id, n as u64 + 1);
            assert_eq!(ManagedPolicy::preset_named(&preset.name).unwrap().id, preset.id);
        }
        assert!(ManagedPolicy::preset(PRESETS_END).is_none());
    }
}
