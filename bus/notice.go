package bus

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
)

// Notice is what one node publishes to the others: what may have changed, and
// who is there. Notices that wait to be sent are merged into one. The order of
// its fields and of its lists means nothing, except where they say so.
type Notice struct {
	// Node is a random id of the process that publishes. The bus sets it.
	Node string `json:"node"`

	// Number counts the notices of a node. The bus sets it. Notices that go
	// through NATS and notices that go through PostgreSQL may overtake each other:
	// of two notices of a node, the one with the higher number was published
	// later. The parts of a notice that was split have the same number.
	Number int64 `json:"number,omitempty"`

	// Channels maps ids of channels to the revisions they have reached. A channel
	// that was just made has revision 0.
	Channels map[int64]int64 `json:"channels,omitempty"`

	// Users are the ids of users who may have had a session ended.
	Users []int64 `json:"users,omitempty"`

	// Readers are the ids of users whose positions have changed.
	Readers []int64 `json:"readers,omitempty"`

	// Presence says who has come to channels at the node, and who has left them.
	Presence []Presence `json:"presence,omitempty"`

	// Moments are in the order in which they happened.
	Moments []Moment `json:"moments,omitempty"`

	// Ask asks the other nodes to publish all their presence.
	Ask bool `json:"ask,omitempty"`

	// Bye says that the node stops, so nobody is present there any more. It
	// applies after all else in the notice. Close publishes it.
	Bye bool `json:"bye,omitempty"`
}

// Presence says who has come to a channel at one node, and who has left it.
type Presence struct {
	Channel int64   `json:"c"`
	Here    []User  `json:"h,omitempty"`
	Gone    []int64 `json:"g,omitempty"` // ids of users

	// Whole says that Here is everybody: it replaces what the node has published
	// about the channel before. If one message cannot carry so many, they come in
	// several, none of which is whole. Other nodes then forget a user who is in
	// neither Here nor Gone after a time, as they do if the node dies.
	Whole bool `json:"w,omitempty"`
}

// User is a user's id and name.
type User struct {
	ID   int64  `json:"i"`
	Name string `json:"n"`
}

// Moment is something that matters only for a few seconds. It may be lost.
type Moment struct {
	Kind    Kind   `json:"k"`
	Channel int64  `json:"c,omitempty"`
	User    int64  `json:"u,omitempty"`
	Name    string `json:"n,omitempty"` // of the tab or of the probe
	On      bool   `json:"o,omitempty"`
}

// Kind is what a Moment says.
type Kind string

const (
	Typing  Kind = "typing"  // User types in Channel
	Reading Kind = "reading" // User reads in the tab Name, or no longer does: On
	Left    Kind = "left"    // User has left Channel unread, although it may be open
	Probed  Kind = "probed"  // the probe Name was requested
)

// envelope is what the buses send: a notice, and what a bus says about itself.
type envelope struct {
	Notice // first, because Bus.ownPrefix is the beginning of its JSON
	control
}

// control is what a bus says about itself to the others. The JSON names are
// those that every version understands.
type control struct {
	// Dropped says that the node has dropped ids of users, because there were too
	// many to keep.
	Dropped bool `json:"unsure,omitempty"`

	// OffNATS says that the node receives through PostgreSQL only. The node
	// repeats it.
	OffNATS bool `json:"deaf,omitempty"`

	// NATSOnly says that the node begins to publish to NATS only, or has done so
	// until now. A node that is off NATS has then missed notices, and answers with
	// OffNATS.
	NATSOnly bool `json:"nats,omitempty"`
}

// maxNode is the greatest length in bytes of a node's id.
const maxNode = 64

var errNode = errors.New("the id of the node is missing or too long")

// decode parses a text that may come from anyone.
func decode(text []byte) (envelope, error) {
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return envelope{}, err
	}
	if e.Node == "" || len(e.Node) > maxNode {
		return envelope{}, errNode
	}
	return e, nil
}

// empty reports whether the notice says nothing.
func (n Notice) empty() bool {
	return n.items() == 0 && !n.Ask && !n.Bye
}

// items returns the number of items that a notice can be split into.
func (n Notice) items() int {
	count := len(n.Channels) + len(n.Users) + len(n.Readers) + len(n.Moments)
	for _, p := range n.Presence {
		count += p.items()
	}
	return count
}

func (p Presence) items() int { return max(1, len(p.Here)+len(p.Gone)) }

// encode returns the envelope as one or more texts of limit bytes at most, to be
// sent in this order. It drops and counts each item that is too long by itself,
// although no name is as long as that.
func (e envelope) encode(limit int) (texts [][]byte, dropped int) {
	text, err := json.Marshal(e)
	if err == nil && len(text) <= limit {
		return [][]byte{text}, 0
	}
	switch count := e.items(); count {
	case 0:
		return nil, 0
	case 1:
		e.Channels, e.Users, e.Readers, e.Presence, e.Moments = nil, nil, nil, nil, nil
		if !e.Notice.empty() || e.control != (control{}) {
			texts, _ = e.encode(limit)
		}
		return texts, 1
	default:
		first, second := e.split(count / 2)
		texts, dropped = first.encode(limit)
		more, moreDropped := second.encode(limit)
		return append(texts, more...), dropped + moreDropped
	}
}

// split divides the envelope after a number of items, or near that: it splits a
// Presence only if the envelope holds nothing else. Ask, Bye and control go into
// the second part, because Bye has to come last.
func (e envelope) split(after int) (first, second envelope) {
	first.Node, first.Number = e.Node, e.Number
	second = e
	first.Channels, second.Channels = map[int64]int64{}, map[int64]int64{}
	for id, revision := range e.Channels {
		if after > 0 {
			first.Channels[id] = revision
			after--
		} else {
			second.Channels[id] = revision
		}
	}
	first.Users, second.Users = splitList(e.Users, &after)
	first.Readers, second.Readers = splitList(e.Readers, &after)
	first.Moments, second.Moments = splitList(e.Moments, &after)
	second.Presence = nil
	for i, p := range e.Presence {
		switch {
		case after >= p.items():
			first.Presence = append(first.Presence, p)
			after -= p.items()
		case after == 0, first.items() > 0:
			second.Presence = append(second.Presence, p)
			after = 0
		case i < len(e.Presence)-1, e.Ask, e.Bye, e.control != control{}:
			first.Presence = append(first.Presence, p)
			after = 0
		default:
			// Neither part is whole, because a user in one would be gone by the other.
			begin, end := Presence{Channel: p.Channel}, Presence{Channel: p.Channel}
			begin.Here, end.Here = splitList(p.Here, &after)
			begin.Gone, end.Gone = splitList(p.Gone, &after)
			first.Presence = append(first.Presence, begin)
			second.Presence = append(second.Presence, end)
		}
	}
	return first, second
}

// splitList divides a list after *after items at most, and subtracts the length
// of the first part from *after.
func splitList[T any](list []T, after *int) (first, second []T) {
	n := min(*after, len(list))
	*after -= n
	return list[:n], list[n:]
}

// maxUsers is how many users each of a batch's lists holds. With more, the list
// is dropped and the other nodes read everything.
const maxUsers = 10_000

// maxMoments is how many moments a batch holds. With more, all are dropped.
const maxMoments = 10_000

// batch merges envelopes that wait to be sent. Its zero value is empty.
type batch struct {
	number   int64
	channels map[int64]int64
	users    map[int64]struct{}
	readers  map[int64]struct{}
	presence map[int64]*channelPresence // by channel
	moments  []Moment
	ask, bye bool
	control
}

// channelPresence is a Presence that is being merged.
type channelPresence struct {
	whole bool
	users map[int64]userPresence
}

// userPresence is the latest about one user in a channel.
type userPresence struct {
	here bool // or gone
	name string
}

// add merges in an envelope that is later than all that the batch holds.
func (b *batch) add(e envelope) {
	b.number = max(b.number, e.Number)
	for id, revision := range e.Channels {
		if b.channels == nil {
			b.channels = map[int64]int64{}
		}
		if known, ok := b.channels[id]; !ok || known < revision {
			b.channels[id] = revision
		}
	}
	b.addUsers(&b.users, e.Users)
	b.addUsers(&b.readers, e.Readers)
	for _, p := range e.Presence {
		b.addPresence(p)
	}
	if b.moments = append(b.moments, e.Moments...); len(b.moments) > maxMoments {
		b.moments = nil
	}
	b.ask = b.ask || e.Ask
	b.bye = b.bye || e.Bye
	b.Dropped = b.Dropped || e.Dropped
	b.OffNATS = b.OffNATS || e.OffNATS
	b.NATSOnly = b.NATSOnly || e.NATSOnly
}

func (b *batch) addUsers(set *map[int64]struct{}, users []int64) {
	for _, id := range users {
		if *set == nil {
			*set = map[int64]struct{}{}
		}
		(*set)[id] = struct{}{}
	}
	if len(*set) > maxUsers {
		*set, b.Dropped = nil, true
	}
}

func (b *batch) addPresence(p Presence) {
	if b.presence == nil {
		b.presence = map[int64]*channelPresence{}
	}
	c := b.presence[p.Channel]
	if c == nil {
		c = &channelPresence{users: map[int64]userPresence{}}
		b.presence[p.Channel] = c
	}
	if p.Whole {
		c.whole = true
		for id := range c.users {
			// Gone and not removed, because the parts of a split Presence are not whole.
			c.users[id] = userPresence{}
		}
	}
	for _, u := range p.Here {
		c.users[u.ID] = userPresence{here: true, name: u.Name}
	}
	for _, id := range p.Gone {
		c.users[id] = userPresence{}
	}
}

// dropTransient drops what is not true for long. The listener publishes presence
// again when Missed is called.
func (b *batch) dropTransient() { b.presence, b.moments = nil, nil }

func (b *batch) empty() bool {
	return len(b.channels)+len(b.users)+len(b.readers)+len(b.presence)+len(b.moments) == 0 &&
		!b.ask && !b.bye && b.control == control{}
}

// envelope returns all that waits, as from a node.
func (b *batch) envelope(node string) envelope {
	e := envelope{Notice{Node: node, Number: b.number, Channels: b.channels, Ask: b.ask, Bye: b.bye}, b.control}
	e.Users = slices.Collect(maps.Keys(b.users))
	e.Readers = slices.Collect(maps.Keys(b.readers))
	e.Moments = slices.Clone(b.moments)
	for channel, c := range b.presence {
		p := Presence{Channel: channel, Whole: c.whole}
		for id, u := range c.users {
			if u.here {
				p.Here = append(p.Here, User{id, u.name})
			} else {
				p.Gone = append(p.Gone, id)
			}
		}
		e.Presence = append(e.Presence, p)
	}
	return e
}
