//! A map by pendant for what changes often and is enrolled seldom: the numbers
//! stand side by side, so that a look-up among ten thousand stays in the
//! processor's nearest caches, and nothing is allocated for room to grow.

use pendant_protocol::PendantId;
use std::ops::Index;

/// One value for each of some pendants, in order of pendant.
#[derive(Clone, Debug)]
pub(super) struct ByPendant<T> {
    /// Ascending; the value of each stands at the same place in `values`.
    pendants: Vec<PendantId>,
    values: Vec<T>,
}

impl<T> Default for ByPendant<T> {
    fn default() -> Self {
        Self { pendants: Vec::new(), values: Vec::new() }
    }
}

impl<T> ByPendant<T> {
    pub(super) fn len(&self) -> usize {
        self.pendants.len()
    }

    pub(super) fn get(&self, pendant: PendantId) -> Option<&T> {
        self.place(pendant).ok().map(|place| &self.values[place])
    }

    pub(super) fn get_mut(&mut self, pendant: PendantId) -> Option<&mut T> {
        self.place(pendant).ok().map(|place| &mut self.values[place])
    }

    /// Sets a value and gives the one before; a new pendant moves all that stand
    /// behind it.
    pub(super) fn insert(&mut self, pendant: PendantId, value: T) -> Option<T> {
        match self.place(pendant) {
            Ok(place) => Some(std::mem::replace(&mut self.values[place], value)),
            Err(place) => {
                self.pendants.insert(place, pendant);
                self.values.insert(place, value);
                None
            }
        }
    }

    pub(super) fn remove(&mut self, pendant: PendantId) -> Option<T> {
        let place = self.place(pendant).ok()?;
        self.pendants.remove(place);
        Some(self.values.remove(place))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PendantId, &T)> {
        self.pendants.iter().copied().zip(&self.values)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut()
    }

    /// No pendant stands farther from the first than its number does, and where
    /// none is missing before it, just so far: a box of pendants bears numbers that
    /// follow each other. The others are searched for below that place.
    fn place(&self, pendant: PendantId) -> Result<usize, usize> {
        let first = self.pendants.first().map_or(0, |first| first.get());
        let farthest = pendant.get().saturating_sub(first) as usize;
        let before = match self.pendants.get(farthest) {
            Some(there) if *there == pendant => return Ok(farthest),
            Some(_) => &self.pendants[..farthest],
            None => &self.pendants[..],
        };
        before.binary_search(&pendant)
    }
}

impl<T> Index<PendantId> for ByPendant<T> {
    type Output = T;

    fn index(&self, pendant: PendantId) -> &T {
        self.get(pendant).expect("a pendant that is known")
    }
}

impl<T> IntoIterator for ByPendant<T> {
    type Item = (PendantId, T);
    type IntoIter = std::iter::Zip<std::vec::IntoIter<PendantId>, std::vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.pendants.into_iter().zip(self.values)
    }
}

impl<T> FromIterator<(PendantId, T)> for ByPendant<T> {
    /// From pairs in ascending order of pendant, each of them once.
    fn from_iter<I: IntoIterator<Item = (PendantId, T)>>(pairs: I) -> Self {
        let (pendants, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        assert!(pendants.is_sorted_by(|a, b| a < b), "in order of pendant");
        Self { pendants, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((1..40u32, any::<bool>(), any::<u8>()), 0..200)) {
            let mut model = BTreeMap::new();
            let mut map = ByPendant::default();
            for (pendant, set, value) in steps {
                let pendant = PendantId::new(pendant).expect("a pendant's number");
                if set {
                    prop_assert_eq!(map.insert(pendant, value), model.insert(pendant, value));
                } else {
                    prop_assert_eq!(map.remove(pendant), model.remove(&pendant));
                }
                prop_assert_eq!(map.get(pendant), model.get(&pendant));
            }
            prop_assert_eq!(map.len(), model.len());
            let pairs: Vec<_> = map.iter().map(|(pendant, value)| (pendant, *value)).collect();
            prop_assert_eq!(pairs, model.into_iter().collect::<Vec<_>>());
        }
    }
}
