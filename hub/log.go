package hub

import (
	"cmp"
	"slices"
)

// maxMissed is how many changes a returning subscriber is sent one by one. One
// that missed more is given the window instead.
const maxMissed = WindowSize

// changeLog is the latest changes of a channel, from which those who come back
// are sent what they missed. None is left out between the first and the last,
// except where a row changed again.
type changeLog struct {
	entries []logEntry
	size    int // bytes of HTML
}

// logEntry is a change in the log.
type logEntry struct {
	Change

	// top is the oldest row that a page showed at the revisions before, since the
	// entry before this one. It is unknownTop where not all of these are known.
	top int64
}

// add adds a change. What is oldest goes where there would be too much.
func (l *changeLog) add(c Change, top int64, maxBytes int) {
	l.entries = append(l.entries, logEntry{c, top})
	l.size += len(c.HTML)
	if len(l.entries) < 2*maxMissed && l.size <= maxBytes {
		return
	}
	surplus := max(0, len(l.entries)-maxMissed)
	for _, entry := range l.entries[:surplus] {
		l.size -= len(entry.HTML)
	}
	for ; l.size > maxBytes; surplus++ {
		l.size -= len(l.entries[surplus].HTML)
	}
	l.entries = slices.Clone(l.entries[surplus:])
}

// find returns the place of the first change from a revision on, and whether it
// is of that revision.
func (l *changeLog) find(revision int64) (at int, found bool) {
	return slices.BinarySearchFunc(l.entries, revision, func(e logEntry, revision int64) int { return cmp.Compare(e.Revision, revision) })
}

// contradicts reports whether a change is not what the log has of the same
// revision.
func (l *changeLog) contradicts(c Change) bool {
	at, found := l.find(c.Revision)
	return found && !l.entries[at].isSame(c)
}

// reaches reports whether the log has all changes after a revision.
func (l *changeLog) reaches(revision int64) bool {
	return len(l.entries) > 0 && revision >= l.entries[0].Revision-1
}

// since returns the changes after a revision that the log reaches back to, and
// the oldest row that a page of that revision shows.
func (l *changeLog) since(revision int64) (changes []Change, top int64) {
	at, _ := l.find(revision + 1)
	if at == len(l.entries) {
		return nil, unknownTop // later revisions changed no row
	}
	for _, entry := range l.entries[at:] {
		changes = append(changes, entry.Change)
	}
	return changes, l.entries[at].top
}
