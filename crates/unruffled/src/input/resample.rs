//! Resizing by exact areas: each new pixel is the mean of what it covers; where it covers less than one, neighbours are
//! interpolated.

/// One channel of a picture, rows first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<f32>,
}

impl Plane {
    /// The picture in another size.
    pub(super) fn resized(&self, width: usize, height: usize) -> Self {
        let columns = weights(self.width, width);
        let rows = weights(self.height, height);
        let mut narrow = Vec::with_capacity(width * self.height);
        for row in self.pixels.chunks_exact(self.width) {
            narrow.extend(columns.iter().map(|taps| {
                let (first, weights) = (taps.first, &taps.weights);
                weights.iter().zip(&row[first..]).map(|(weight, pixel)| weight * pixel).sum::<f32>()
            }));
        }
        let mut pixels = vec![0.0; width * height];
        for (taps, row) in rows.iter().zip(pixels.chunks_exact_mut(width)) {
            for (weight, from) in taps.weights.iter().zip(narrow[taps.first * width..].chunks_exact(width)) {
                for (pixel, part) in row.iter_mut().zip(from) {
                    *pixel += weight * part;
                }
            }
        }
        Self { width, height, pixels }
    }
}

/// What one new pixel takes from the old ones along a line.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

fn weights(from: usize, to: usize) -> Vec<Taps> {
    let ratio = from as f64 / to as f64;
    let taps = |at: usize| {
        if ratio >= 1.0 {
            let (begin, end) = (at as f64 * ratio, (at + 1) as f64 * ratio);
            let first = begin as usize;
            let last = (end.ceil() as usize).min(from);
            let covered = |pixel: usize| (end.min((pixel + 1) as f64) - begin.max(pixel as f64)).max(0.0);
            let weights = (first..last).map(|pixel| (covered(pixel) / ratio) as f32);
            Taps { first, weights: weights.collect() }
        } else {
            let centre = ((at as f64 + 0.5) * ratio - 0.5).clamp(0.0, (from - 1) as f64);
            let (first, part) = (centre as usize, centre.fract() as f32);
            let weights = if first + 1 < from { vec![1.0 - part, part] } else { vec![1.0] };
            Taps { first, weights }
        }
    };
    (0..to).map(taps).collect()
}

#[cfg(test)]
mod tests {
    use super::Plane;

    fn plane(width: usize, pixels: &[f32]) -> Plane {
        Plane { width, height: pixels.len() / width, pixels: pixels.to_vec() }
    }

    #[track_caller]
    fn check(from: &Plane, width: usize, height: usize, expected: &[f32]) {
        let resized = from.resized(width, height);
        let close = resized.pixels.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close && resized.pixels.len() == expected.len(), "{resized:?}");
    }

    #[test]
    fn shrinking_takes_the_mean_of_areas() {
        check(&plane(4, &[0., 1., 2., 3., 4., 5., 6., 7.]), 2, 1, &[2.5, 4.5]);
        check(&plane(3, &[0., 3., 6.]), 2, 1, &[1., 5.]);
        check(&plane(2, &[1., 2., 3., 4.]), 2, 2, &[1., 2., 3., 4.]);
    }

    #[test]
    fn enlarging_interpolates() {
        check(&plane(2, &[0., 4.]), 4, 1, &[0., 1., 3., 4.]);
        check(&plane(1, &[7.]), 2, 2, &[7., 7., 7., 7.]);
    }
}
