"""Times that leap: damaged ones are put right, and joined recordings follow on each other.

Packets come in the order of the file, in which their times of decoding never go back. Where one
leaps, the packets after it say what it was:

- they go on where the times were before: the time is damaged, and lies between its neighbours;
- they go on from it: the picture stood still so long, as it does in a talk with slides;
- they go on from it, and it lies before what came: another recording was joined on, whose clock
  starts anew. It follows on what came.

A transport stream (`JOINED`) is cut and joined by recorders, and its clock starts anew after a day.
There a leap of more than ten seconds is a join, too, as for FFmpeg and its players, unless the
sound goes on all the while.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise

from av.packet import Packet

JOINED = frozenset({"mpegts", "mpeg"})
"""Containers in which a clock may leap; the others keep one for the whole file."""
DOUBTED, LEAST_DOUBTED, MOST_DOUBTED = 3, 0.05, 1.0
"""Usual steps from one packet to the next after which the time of the next one is doubted, and
seconds that these are at least and at most."""
JOIN = 10.0
"""Seconds by which a clock in `JOINED` leaps at most while a picture stands still."""
PACES = 10
"""The same, in usual steps from packet to packet."""
AHEAD, AHEAD_PACKETS, AHEAD_BYTES = 300, 20_000, 2**26
"""Packets of the film, of film and sound, and bytes that are looked at, at most, to judge one in
doubt: what Matroska keeps under one time is a cluster, five seconds of film."""
FEW_AHEAD = 40
"""Packets of the film where the leap is small, as many are in a recording of a screen."""
MOST_REORDERED, REORDERED = 17, 33
"""Packets that a decoder keeps back at most, and after which the clock of decoding has come to any
time of showing."""
TORN = 3
"""Packets before a join among which FFmpeg marks one: the count of pieces begins anew there."""
RECENT, SELDOM = 64, 8
_AGREE, _FEW = 8, 5


class Leaps:
    """Puts the times of one film's packets right, in the order of the file.

    Args:
        tick: seconds of a tick.
        rate: frames per second as the header says.
        shuffled: whether frames may be shown in another order than they are stored in.
        joined: whether the container is one of `JOINED`.
        made_up: whether the container says no times of decoding, so that FFmpeg makes them up.
        seconds: how long all of it lasts by a header that does not go by the packets, if it says.
    """

    def __init__(
        self,
        tick: float,
        rate: float,
        *,
        shuffled: bool,
        joined: bool,
        made_up: bool = False,
        seconds: float | None = None,
    ) -> None:
        self.damaged = 0
        """Packets whose time was damaged."""
        self.joins = 0
        """How often another recording followed."""
        self.torn = 0
        """Packets marked as incomplete because another recording followed: nothing is missing."""
        self._marked: deque[bool] = deque(maxlen=TORN)
        self._tick, self._join = tick, round(JOIN / tick)
        self._far = round(MOST_DOUBTED / tick)
        self._shuffled, self._joined, self._made_up = shuffled, joined, made_up
        self._most = None if seconds is None else round((seconds + 1) / tick)
        self._ahead: deque[tuple[Packet, bool]] = deque()
        self._films = self._bytes = 0
        """Packets of the film that wait, and bytes of all that do."""
        self._over = False
        self._offset = self._before = 0
        self._first: int | None = None
        self._last: int | None = None
        """Of the packet before, put right; the sound's in turn."""
        self._heard: int | None = None
        self._sound: deque[tuple[int, int]] = deque(maxlen=RECENT)
        """From when to when sound was heard without a break, as the file says."""
        self._played = self._before_sound = 0
        """Sound since the packet of the film before, in ticks."""
        self._steps: deque[int] = deque([max(round(1 / rate / tick), 1)], RECENT)
        self._waits: deque[int] = deque(maxlen=RECENT)
        """How much later than decoded the latest pictures are shown."""
        self._seen = 0
        self._step = self._doubted = self._reordering = 0
        """Ticks: a usual step, the largest that is not doubted, the longest wait that is not."""
        self._look_at_pace()

    @property
    def any(self) -> bool:
        """Whether any time was changed."""
        return bool(self.damaged or self.joins)

    def notes(self) -> list[str]:
        """What a careful reader would want to know, in sentences."""
        said = []
        if self.damaged:
            said.append(f"Damaged times, put right by those around them: {self.damaged}.")
        if self.joins:
            said.append(f"Joins, where the file's clock starts anew, time going on: {self.joins}.")
        return said

    def settled(self, packets: Iterable[tuple[Packet, bool]]) -> Iterator[tuple[Packet, bool]]:
        """The same packets with their times put right; those in doubt wait for what follows.

        A time that is damaged beyond telling becomes None. Sound that fits nowhere is left out.

        Args:
            packets: each with whether it is of the picture; the others are of one sound.
        """
        coming = iter(packets)
        while self._more(coming, 1):
            packet, is_film = self._ahead[0]
            if not is_film:
                self._pop()
                if self._take_sound(packet):
                    yield packet, False
                continue
            key = self._key(packet)
            leap = 0 if key is None or self._last is None else key + self._offset - self._last
            if abs(leap) > self._doubted:
                self._more(coming, AHEAD if abs(leap) > self._far else FEW_AHEAD)
                yield from self._judged(leap)
                continue
            if self._may_be_shown_wrongly(packet):
                self._more(coming, REORDERED + 1)
            self._pop()
            self._put(packet, None if key is None else key + self._offset)
            yield packet, True

    def _more(self, coming: Iterator[tuple[Packet, bool]], wanted: int) -> bool:
        """Look ahead at so many packets of the film; whether there are any."""
        while self._films < wanted and not self._over:
            full = self._bytes >= AHEAD_BYTES or len(self._ahead) >= AHEAD_PACKETS
            if self._ahead and (wanted == 1 or full):
                break
            if (found := next(coming, None)) is None:
                self._over = True
                break
            packet, is_film = found
            self._ahead.append(found)
            self._films, self._bytes = self._films + is_film, self._bytes + packet.size
            if not is_film and packet.pts is not None:
                self._hear(packet.pts)
        return bool(self._ahead)

    def _pop(self) -> tuple[Packet, bool]:
        packet, is_film = self._ahead.popleft()
        self._films, self._bytes = self._films - is_film, self._bytes - packet.size
        return packet, is_film

    def _hear(self, at: int) -> None:
        since, until = self._sound[-1] if self._sound else (at, at)
        if self._sound and -self._join <= at - until <= self._join:
            self._sound[-1] = since, max(at, until)
        else:
            self._sound.append((at, at))

    def _key(self, packet: Packet) -> int | None:
        """The time that never goes back: of decoding, or of showing where that is the same."""
        return packet.pts if packet.dts is None and not self._shuffled else packet.dts

    def _look_at_pace(self) -> None:
        """Find out anew what is usual."""
        self._step = sorted(self._steps)[len(self._steps) // 2]
        seconds = min(max(DOUBTED * self._step * self._tick, LEAST_DOUBTED), MOST_DOUBTED)
        self._doubted = round(seconds / self._tick)
        self._reordering = max(MOST_REORDERED * self._step, self._doubted)

    def _keys_ahead(self, most: int) -> list[int]:
        """Those of the film's packets that wait, put right as far as is known."""
        films = (packet for packet, is_film in self._ahead if is_film)
        keys = (self._key(packet) for packet in islice(films, most))
        return [key + self._offset for key in keys if key is not None]

    def _judged(self, leap: int) -> Iterator[tuple[Packet, bool]]:
        """Decide on the first packet that waits, and give it, with all that it stands for."""
        assert self._last is not None
        last, key = self._last, self._last + leap
        keys = self._keys_ahead(AHEAD if abs(leap) > self._far else FEW_AHEAD)
        damaged = self._damaged(keys, last)
        if damaged:
            self.damaged += damaged
            until = keys[damaged] if damaged < len(keys) else None
            yield from self._between(last, keys[:damaged], until)
            return
        far = max(self._join, PACES * self._step)
        paused = last <= key <= last + far or not self._joined or self._sound_goes_on(key, last)
        if not (paused if key > last else self._made_up):
            self._before, self._offset = self._offset, self._offset + last + self._step - key
            self.joins += 1
            self.torn += any(self._marked)
            key = last + self._step
        packet, _ = self._pop()
        self._put(packet, key)
        yield packet, True

    def _damaged(self, keys: list[int], last: int) -> int:
        """How many of the packets that wait, from the first on, have a damaged time."""
        doubted, rises = self._doubted, keys[0] > last
        even = max(doubted, DOUBTED * self._step)
        goes_back = not rises or min(keys) < keys[0] - doubted
        for number, (one, other) in enumerate(pairwise(keys if goes_back else ()), 1):
            # Back before the leap, or up from below; and not just one more damaged time.
            leap = keys[0] - other if rises else other - one
            if leap > doubted and other >= last - doubted:
                follow = pairwise(keys[number : number + _AGREE])
                agree = [abs(later - earlier) <= even for earlier, later in follow]
                if all(agree[:1]) and 2 * sum(agree) >= len(agree):
                    return number
        # To the end of the file, and beyond what its header says.
        at_end = self._over and keys[0] - last > self._far and self._is_beyond(keys[0])
        return len(keys) if at_end else 0

    def _is_beyond(self, at: int) -> bool:
        """Whether the header says that the film has ended by then."""
        return self._most is not None and self._first is not None and at - self._first > self._most

    def _sound_goes_on(self, key: int, last: int) -> bool:
        """Whether sound is heard, without a break, from one time to another; or for half as long
        between the film's two packets, whose times of decoding may lie before all sound.
        """
        if 2 * self._played > key - last:
            return True
        first, end = last + self._join - self._offset, key - self._join - self._offset
        return any(since < first and until > end for since, until in self._sound)

    def _between(
        self, last: int, keys: list[int], until: int | None
    ) -> Iterator[tuple[Packet, bool]]:
        """Packets with damaged times: shifted as they are where they fit before the next good one,
        else evenly spread.
        """
        count, step = len(keys), self._step
        fits = all(0 <= two - one <= self._doubted for one, two in pairwise(keys))
        fits &= until is None or last + step + keys[-1] - keys[0] < until
        each = step if until is None else max((until - last) / (count + 1), 0)
        done = 0
        while done < count:
            packet, is_film = self._pop()
            if not is_film:
                if self._take_sound(packet):
                    yield packet, False
                continue
            if self._key(packet) is None:
                self._put(packet, None)
            else:
                evenly = round(last + (done + 1) * each)
                key = last + step + keys[done] - keys[0] if fits else evenly
                self._put(packet, key, damaged=True)
                done += 1
            yield packet, True

    def _put(self, packet: Packet, key: int | None, *, damaged: bool = False) -> None:
        """Give a packet its times; `key` is the one that never goes back."""
        if packet.dts is None or key is None:  # there is no other time to tell by
            if packet.pts is not None:
                packet.pts = key if key is not None else packet.pts + self._offset
        else:
            shown = packet.pts
            moved = key - packet.dts
            packet.dts = key
            if shown is not None and damaged:
                packet.pts = self._nearest(key, shown + self._offset, shown + moved)
            elif shown is not None:
                self._waits.append(shown + moved - key)
                lost = self._is_shown_wrongly(packet, shown + moved, key)
                self.damaged += lost
                packet.pts = None if lost else shown + moved
        self._marked.append(bool(packet.is_corrupt))
        if key is None:
            return
        if self._last is not None and not damaged:
            self._steps.append(max(key - self._last, 1))
            self._seen += 1
            if self._seen % SELDOM == 0 or self._seen < SELDOM:
                self._look_at_pace()
        self._first = key if self._first is None else self._first
        self._last, self._played = key, 0

    def _nearest(self, key: int, *candidates: int) -> int | None:
        """Which of some times of showing is most like those of other packets, if one can be."""
        low, high = min(self._waits, default=0), max(self._waits, default=0)
        apart = {at: max(low - (at - key), at - key - high, 0) for at in candidates}
        best = min(candidates, key=lambda at: apart[at])
        return best if apart[best] <= self._widest() else None

    def _widest(self) -> int:
        return self._doubted + REORDERED * max(self._steps)

    def _may_be_shown_wrongly(self, packet: Packet) -> bool:
        if packet.pts is None or packet.dts is None or not self._waits:
            return False
        wait = packet.pts - packet.dts
        return wait > self._reordering and wait > min(self._waits) + self._reordering

    def _is_shown_wrongly(self, packet: Packet, shown: int, key: int) -> bool:
        """Whether a time of showing cannot be, where that of decoding is good."""
        if packet.is_discard or len(self._waits) < _FEW:
            return False
        wait = shown - key
        if -self._doubted <= wait <= self._reordering:
            return False
        usual = min([*self._waits][:-1])
        if wait < usual - self._doubted and wait < -self._doubted:
            return True
        if wait <= usual + self._reordering:
            return False
        far = max(self._join, PACES * self._step)
        if self._joined and wait > far and not self._sound_goes_on(shown, key):
            return True
        keys = self._keys_ahead(REORDERED)
        if max(keys, default=key) + max(usual, 0) + self._doubted >= shown:
            return False
        if len(keys) == REORDERED:
            return True
        return wait > far if self._joined else self._is_beyond(shown)

    def _take_sound(self, packet: Packet) -> bool:
        """Put a packet of the sound where its recording is; whether it has a place."""
        at = packet.pts if packet.pts is not None else packet.dts
        if at is not None:
            self._played += max(at - self._before_sound, 0) * (at - self._before_sound < self._join)
            self._before_sound = at
        if at is None or self._last is None or not self._joined:
            return True
        for offset in (self._offset, self._before):
            near = [one for one in (self._last, self._heard) if one is not None]
            if any(abs(at + offset - one) <= self._join for one in near):
                packet.pts = None if packet.pts is None else packet.pts + offset
                packet.dts = None if packet.dts is None else packet.dts + offset
                self._heard = at + offset
                return True
        return False
