//! [`Forest`]: trees as files describe them, checked, before they are laid out for speed.

/// How a branch decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Unequal,
    /// One of the [members](Forest::members) in this range.
    Member(u32, u32),
}

/// One node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Node {
    Branch(Branch),
    /// The [weights](Forest::weights) in this range.
    Leaf(u32, u32),
}

/// A question about one feature, and where its answers lead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Branch {
    pub(super) feature: u32,
    pub(super) mode: Mode,
    pub(super) threshold: f64,
    /// Whether a missing value leads to `yes`, whatever the mode.
    pub(super) missing_is_yes: bool,
    pub(super) yes: u32,
    pub(super) no: u32,
}

/// What a leaf adds to the score of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weight {
    pub(super) target: u32,
    pub(super) value: f64,
}

/// Trees over one set of nodes: no node is reached twice.
#[derive(Debug)]
pub(super) struct Forest {
    pub(super) nodes: Vec<Node>,
    pub(super) roots: Vec<u32>,
    pub(super) weights: Vec<Weight>,
    pub(super) members: Vec<f64>,
    pub(super) targets: usize,
    /// One more than the highest feature that is asked about.
    pub(super) features: usize,
}

/// The most nodes, weights or members that one forest may have: sums of a few indices stay within 32 bits.
const COUNT_MAX: usize = 1 << 28;

/// The most targets: what is kept for each of them is not in the file.
const TARGETS_MAX: usize = 1 << 20;

impl Forest {
    /// Checks what a file describes.
    ///
    /// # Errors
    ///
    /// A reason, if an index leads nowhere or a node is reached twice, as in a circle.
    pub(super) fn new(
        nodes: Vec<Node>,
        roots: Vec<u32>,
        weights: Vec<Weight>,
        members: Vec<f64>,
        targets: usize,
    ) -> Result<Self, String> {
        if nodes.len().max(weights.len()).max(members.len()) > COUNT_MAX {
            return Err(format!("has more than {COUNT_MAX} nodes"));
        }
        if !(1..=TARGETS_MAX).contains(&targets) || roots.is_empty() {
            return Err(format!("has {} trees for {targets} targets", roots.len()));
        }
        if let Some(weight) = weights.iter().find(|weight| weight.target as usize >= targets) {
            return Err(format!("has a leaf of target {} among {targets}", weight.target));
        }
        let mut reached = vec![false; nodes.len()];
        let mut features = 0;
        // A stack of its own: a tree may be as deep as it has nodes.
        let mut open = roots.clone();
        while let Some(at) = open.pop() {
            match reached.get_mut(at as usize) {
                None => return Err(format!("has an edge to node {at}, which there is not")),
                Some(true) => return Err(format!("reaches its node {at} twice")),
                Some(fresh) => *fresh = true,
            }
            match nodes[at as usize] {
                Node::Leaf(start, end) if start <= end && end as usize <= weights.len() => {}
                Node::Leaf(..) => return Err("has a leaf without its weights".into()),
                Node::Branch(branch) => {
                    if let Mode::Member(start, end) = branch.mode
                        && (start > end || end as usize > members.len())
                    {
                        return Err("has a branch without its members".into());
                    }
                    features = features.max(branch.feature as usize + 1);
                    open.extend([branch.no, branch.yes]);
                }
            }
        }
        Ok(Self { nodes, roots, weights, members, targets, features })
    }

    /// The leaves of a tree.
    pub(super) fn leaves(&self, root: u32) -> impl Iterator<Item = &[Weight]> {
        let mut open = vec![root];
        std::iter::from_fn(move || {
            loop {
                match self.nodes[open.pop()? as usize] {
                    Node::Leaf(start, end) => return Some(&self.weights[start as usize..end as usize]),
                    Node::Branch(branch) => open.extend([branch.no, branch.yes]),
                }
            }
        })
    }

    /// The branches that can be reached.
    pub(super) fn branches(&self) -> impl Iterator<Item = &Branch> {
        let mut open = self.roots.clone();
        std::iter::from_fn(move || {
            loop {
                if let Node::Branch(branch) = &self.nodes[open.pop()? as usize] {
                    open.extend([branch.no, branch.yes]);
                    return Some(branch);
                }
            }
        })
    }

    /// The leaf that a row ends at, found the plain way.
    pub(super) fn leaf(&self, root: u32, feature: impl Fn(u32) -> f64) -> u32 {
        let mut at = root;
        while let Node::Branch(branch) = &self.nodes[at as usize] {
            at = if self.answer(branch, feature(branch.feature)) { branch.yes } else { branch.no };
        }
        at
    }

    fn answer(&self, branch: &Branch, x: f64) -> bool {
        let yes = match branch.mode {
            Mode::AtMost => x <= branch.threshold,
            Mode::Below => x < branch.threshold,
            Mode::AtLeast => x >= branch.threshold,
            Mode::Above => x > branch.threshold,
            Mode::Equal => x == branch.threshold,
            Mode::Unequal => x != branch.threshold,
            Mode::Member(start, end) => self.members[start as usize..end as usize].contains(&x),
        };
        yes || (branch.missing_is_yes && x.is_nan())
    }
}
