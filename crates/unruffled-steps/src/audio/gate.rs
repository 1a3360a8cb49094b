//! [`SpeechGate`]: where speech begins and ends, found while the sound is being heard.

/// When a sound counts as speech. Lengths are in samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Thresholds {
    /// From this probability on, speech has begun.
    pub(crate) speech: f32,
    /// Below this one, it may have ended.
    pub(crate) silence: f32,
    /// The samples that each probability is about.
    pub(crate) frame: usize,
    /// Speech must be longer than this to count.
    pub(crate) speech_min: f64,
    /// Silence must last so long to end it.
    pub(crate) silence_min: f64,
    /// What is added before and behind.
    pub(crate) pad: usize,
}

/// How many numbers a gate remembers.
pub(crate) const STATE: usize = 5;

/// A stretch of speech, in samples from the beginning of the sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first sample.
    pub start: usize,
    /// The first sample behind it.
    pub end: usize,
}

impl Segment {
    /// Start and end in seconds, at so many samples a second.
    pub fn seconds(self, rate: u32) -> [f64; 2] {
        [self.start, self.end].map(|samples| samples as f64 / f64::from(rate))
    }
}

/// Finds speech in the probabilities of a sound's frames, one at a time, by the rules of silero-vad.
///
/// It keeps a few numbers, however long the sound is. A stretch is told as soon as nothing that may follow can change it: one
/// silence after its end.
///
/// ```
/// use unruffled_steps::SpeechSegments;
///
/// let mut gate = SpeechSegments::default().gate();
/// let sound = [[0.01; 10], [0.99; 10], [0.01; 10]].concat();
/// let found: Vec<_> = sound.into_iter().filter_map(|probability| gate.push(probability)).collect();
/// // 32 milliseconds each, and 30 of padding.
/// assert_eq!(found[0].seconds(16_000), [0.29, 0.67]);
/// ```
#[derive(Clone, Debug)]
pub struct SpeechGate {
    thresholds: Thresholds,
    /// Frames heard.
    heard: usize,
    /// Where speech has begun that goes on.
    begun: Option<usize>,
    /// Where it has become quiet since, though perhaps not for long.
    quiet: Option<usize>,
    /// The last stretch, padded in front but not behind: what follows may be so near that they share the pause.
    held: Option<Segment>,
}

impl SpeechGate {
    pub(crate) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, heard: 0, begun: None, quiet: None, held: None }
    }

    /// What it remembers, as numbers; all 0 of one that has heard nothing.
    pub(crate) fn memory(&self) -> [i64; STATE] {
        // 0 is nothing, and so every place is told as one more.
        let place = |place: Option<usize>| place.map_or(0, |place| place as i64 + 1);
        let held = self.held;
        [
            self.heard as i64,
            place(self.begun),
            place(self.quiet),
            place(held.map(|held| held.start)),
            place(held.map(|held| held.end)),
        ]
    }

    /// One that remembers this; `None` if no gate does.
    pub(crate) fn remembering(&self, memory: [i64; STATE]) -> Option<Self> {
        let [heard, rest @ ..] = memory;
        let heard = usize::try_from(heard).ok()?;
        let now = heard.checked_mul(self.thresholds.frame)?;
        let place = |number: i64| match usize::try_from(number).ok()? {
            0 => Some(None),
            next => Some(Some(next - 1).filter(|place| *place <= now)).filter(Option::is_some),
        };
        let [begun, quiet, start, end] = rest.map(place);
        let held = match (start?, end?) {
            (Some(start), Some(end)) if start <= end => Some(Segment { start, end }),
            (None, None) => None,
            _ => return None,
        };
        let (begun, quiet) = (begun?, quiet?);
        let in_order = held.is_none_or(|held| begun.is_none_or(|begun| held.end <= begun))
            && quiet.is_none_or(|quiet| begun.is_some_and(|begun| begun <= quiet));
        in_order.then_some(Self { thresholds: self.thresholds, heard, begun, quiet, held })
    }

    /// Hears the next frame's probability; gives a stretch of speech if one is complete.
    pub fn push(&mut self, probability: f32) -> Option<Segment> {
        let now = self.heard * self.thresholds.frame;
        self.heard += 1;
        if probability >= self.thresholds.speech {
            self.quiet = None;
            self.begun.get_or_insert(now);
        } else if let Some(begun) = self.begun
            && probability < self.thresholds.silence
        {
            let quiet = *self.quiet.get_or_insert(now);
            if (now - quiet) as f64 >= self.thresholds.silence_min {
                (self.begun, self.quiet) = (None, None);
                if let Some(before) = self.close(begun, quiet) {
                    return Some(before);
                }
            }
        }
        // Whatever begins next begins here at the earliest.
        let next = self.begun.unwrap_or(now);
        let free = self.held.is_some_and(|held| next >= held.end + 2 * self.thresholds.pad);
        let settled = self.held.take_if(|_| free)?;
        Some(Segment { end: settled.end + self.thresholds.pad, ..settled })
    }

    /// Ends the sound, of so many samples or of whole frames; gives what was not told yet.
    pub fn finish(mut self, samples: Option<usize>) -> impl Iterator<Item = Segment> {
        let all = self.heard * self.thresholds.frame;
        let length = samples.map_or(all, |samples| samples.min(all));
        let begun = self.begun.take();
        let before = begun.filter(|begun| *begun < length).and_then(|begun| self.close(begun, length));
        let pad = self.thresholds.pad;
        let last = self.held.map(|held| Segment { end: (held.end + pad).min(length), ..held });
        [before, last].into_iter().flatten()
    }

    /// Takes a stretch in, if it is long enough, and gives the one before, which it settles.
    fn close(&mut self, start: usize, end: usize) -> Option<Segment> {
        if (end - start) as f64 <= self.thresholds.speech_min {
            return None;
        }
        let pad = self.thresholds.pad;
        let before = self.held.take();
        // Near neighbours share the pause between them.
        let share = before.map_or(pad, |before| {
            let pause = start - before.end;
            if pause < 2 * pad { pause / 2 } else { pad }
        });
        self.held = Some(Segment { start: start.saturating_sub(share), end });
        before.map(|before| Segment { end: before.end + share, ..before })
    }
}

#[cfg(test)]
mod tests {
    use super::{Segment, SpeechGate, Thresholds};

    /// Frames of ten samples; more than two of them are speech, two of silence end it.
    const THRESHOLDS: Thresholds =
        Thresholds { speech: 0.5, silence: 0.35, frame: 10, speech_min: 20.0, silence_min: 20.0, pad: 5 };

    /// Each letter is a frame: `#` speech, `.` silence, `~` neither; with what comes out, and when.
    #[track_caller]
    fn check(
        thresholds: Thresholds,
        sound: &str,
        samples: Option<usize>,
        expected: &[(usize, usize, usize)],
    ) {
        let mut gate = SpeechGate::new(thresholds);
        let mut told = Vec::new();
        for (at, letter) in sound.chars().enumerate() {
            let probability = match letter {
                '#' => 0.9,
                '~' => 0.4,
                _ => 0.1,
            };
            told.extend(gate.push(probability).map(|segment| (segment.start, segment.end, at)));
        }
        let end = sound.len();
        told.extend(gate.finish(samples).map(|Segment { start, end: last }| (start, last, end)));
        assert_eq!(told, expected, "{sound}");
    }

    #[test]
    fn silence_is_nothing() {
        check(THRESHOLDS, "", None, &[]);
        check(THRESHOLDS, "..........", None, &[]);
        check(THRESHOLDS, "~~~~~~~~~~", None, &[]);
    }

    #[test]
    fn a_stretch_is_padded_and_told_after_its_silence() {
        check(THRESHOLDS, "..####....", None, &[(15, 65, 8)]);
        check(THRESHOLDS, "####....", None, &[(0, 45, 6)]);
    }

    #[test]
    fn what_is_between_the_thresholds_changes_nothing() {
        check(THRESHOLDS, "..#~~~#~...", None, &[(15, 85, 10)]);
        check(THRESHOLDS, "..####.~.~", None, &[(15, 65, 8)]);
    }

    #[test]
    fn short_pauses_do_not_end_it_and_short_noises_do_not_count() {
        check(THRESHOLDS, "..##.##...", None, &[(15, 75, 9)]);
        check(THRESHOLDS, "..##......", None, &[]);
        check(THRESHOLDS, "..###.....", None, &[(15, 55, 7)]);
    }

    #[test]
    fn the_end_of_the_sound_ends_it() {
        check(THRESHOLDS, "..####", None, &[(15, 60, 6)]);
        check(THRESHOLDS, "..####", Some(57), &[(15, 57, 6)]);
        check(THRESHOLDS, "..####", Some(40), &[]);
        check(THRESHOLDS, "..####.", Some(63), &[(15, 63, 7)]);
    }

    #[test]
    fn near_neighbours_share_the_pause() {
        let wide = Thresholds { pad: 30, ..THRESHOLDS };
        check(wide, "###...###...", None, &[(0, 45, 11), (45, 120, 12)]);
        // A noise that does not count leaves the pause to the first.
        check(wide, "###...#.........", None, &[(0, 60, 9)]);
    }
}
