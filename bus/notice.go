package bus

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
)

// Notice is what one node tells the others: that something may have changed,
// and who is there. Notices that wait are merged into one, in which the order of
// its fields says nothing.
type Notice struct {
	// Node is a random id of the process's life. The bus sets it.
	Node string `json:"node"`

	// Number counts what a node tells. The bus sets it. What goes over NATS and
	// what goes over PostgreSQL may overtake each other: of two notices of a
	// node, that with the higher number was told later. The parts of a notice
	// that was too long have the same number.
	Number int64 `json:"number,omitempty"`

	// Channels are the revisions that channels have come to. A channel that was
	// just made is there with revision 0.
	Channels map[int64]int64 `json:"channels,omitempty"`

	// Users are those of whose sessions some may be over.
	Users []int64 `json:"users,omitempty"`

	// Readers are users whose positions have changed.
	Readers []int64 `json:"readers,omitempty"`

	// Presence says who has come to channels and gone from them at the node.
	Presence []Presence `json:"presence,omitempty"`

	// Moments are what soon does not matter any more, in their order.
	Moments []Moment `json:"moments,omitempty"`

	// Ask asks the others for all of their presence.
	Ask bool `json:"ask,omitempty"`

	// Bye says that the node stops: nobody is there any more. It holds after all
	// else in the notice. Close tells it.
	Bye bool `json:"bye,omitempty"`
}

// Presence is who has come to a channel and gone from it at one node.
type Presence struct {
	Channel int64   `json:"c"`
	Here    []User  `json:"h,omitempty"`
	Gone    []int64 `json:"g,omitempty"` // ids of users

	// Whole says that those who are here are all: what the node has said of the
	// channel before holds no more. Where one message cannot carry so many, they
	// come in several, none of which is whole: who is not in them and is not said
	// to be gone is forgotten by the others after a time, as if the node were.
	Whole bool `json:"w,omitempty"`
}

// User is a user by id and name.
type User struct {
	ID   int64  `json:"i"`
	Name string `json:"n"`
}

// Moment is something that soon does not matter any more. It may be lost.
type Moment struct {
	Kind    Kind   `json:"k"`
	Channel int64  `json:"c,omitempty"`
	User    int64  `json:"u,omitempty"`
	Name    string `json:"n,omitempty"` // of the tab or the probe
	On      bool   `json:"o,omitempty"`
}

// Kind is what a Moment says.
type Kind string

const (
	Typing  Kind = "typing"  // User types in Channel
	Reading Kind = "reading" // whether User reads in the tab Name is On
	Left    Kind = "left"    // User has left Channel unread, although it may be open
	Probed  Kind = "probed"  // the probe Name was asked for
)

// letter is what travels: a notice, and what the buses tell each other.
type letter struct {
	Notice // begins with the node: see Bus.own
	signs
}

// signs are what the buses tell each other.
type signs struct {
	// Unsure says that the node has told more than it could keep.
	Unsure bool `json:"unsure,omitempty"`

	// Deaf says that the node hears only PostgreSQL. It is said again and again.
	Deaf bool `json:"deaf,omitempty"`

	// NATS says that the node begins to tell NATS alone, or did so until now:
	// whoever is deaf has missed something, and should say that it is deaf.
	NATS bool `json:"nats,omitempty"`
}

// maxNode is the length in bytes of a node's id that is taken for one.
const maxNode = 64

var errNode = errors.New("a notice of no node")

// read returns the letter in a text that may come from anyone.
func read(text []byte) (letter, error) {
	var l letter
	if err := json.Unmarshal(text, &l); err != nil {
		return letter{}, err
	}
	if l.Node == "" || len(l.Node) > maxNode {
		return letter{}, errNode
	}
	return l, nil
}

// says reports whether there is anything in the notice.
func (n Notice) says() bool {
	return n.items() > 0 || n.Ask || n.Bye
}

// items counts what a notice can be split into.
func (n Notice) items() int {
	count := len(n.Channels) + len(n.Users) + len(n.Readers) + len(n.Moments)
	for _, p := range n.Presence {
		count += p.items()
	}
	return count
}

func (p Presence) items() int { return max(1, len(p.Here)+len(p.Gone)) }

// write returns the letter as one text or several, each of limit bytes at most,
// to be sent in this order. An item that does not fit by itself is left out and
// counted, but no name is that long.
func (l letter) write(limit int) (texts [][]byte, left int) {
	text, err := json.Marshal(l)
	if err == nil && len(text) <= limit {
		return [][]byte{text}, 0
	}
	switch count := l.items(); count {
	case 0:
		return nil, 0
	case 1:
		l.Channels, l.Users, l.Readers, l.Presence, l.Moments = nil, nil, nil, nil, nil
		if l.says() || l.signs != (signs{}) {
			texts, _ = l.write(limit)
		}
		return texts, 1
	default:
		first, second := l.split(count / 2)
		texts, left = first.write(limit)
		more, also := second.write(limit)
		return append(texts, more...), left + also
	}
}

// split parts the letter after so many items, or near that: who is in a channel
// is parted only where the letter says nothing else. All that is no item goes
// into the second part: the node says Bye last.
func (l letter) split(after int) (first, second letter) {
	first.Node, first.Number = l.Node, l.Number
	second = l
	first.Channels, second.Channels = map[int64]int64{}, map[int64]int64{}
	for id, revision := range l.Channels {
		if after > 0 {
			first.Channels[id] = revision
			after--
		} else {
			second.Channels[id] = revision
		}
	}
	first.Users, second.Users = cut(l.Users, &after)
	first.Readers, second.Readers = cut(l.Readers, &after)
	first.Moments, second.Moments = cut(l.Moments, &after)
	second.Presence = nil
	for i, p := range l.Presence {
		switch {
		case after >= p.items():
			first.Presence = append(first.Presence, p)
			after -= p.items()
		case after == 0, first.items() > 0:
			second.Presence = append(second.Presence, p)
			after = 0
		case i < len(l.Presence)-1, l.Ask, l.Bye, l.signs != signs{}:
			first.Presence = append(first.Presence, p)
			after = 0
		default:
			// Neither is whole: who is in the one is not gone for the other.
			begin, end := Presence{Channel: p.Channel}, Presence{Channel: p.Channel}
			begin.Here, end.Here = cut(p.Here, &after)
			begin.Gone, end.Gone = cut(p.Gone, &after)
			first.Presence = append(first.Presence, begin)
			second.Presence = append(second.Presence, end)
		}
	}
	return first, second
}

// cut parts a list after so many items, and takes those that the first part has
// from their number.
func cut[T any](list []T, after *int) (first, second []T) {
	n := min(*after, len(list))
	*after -= n
	return list[:n], list[n:]
}

// maxUsers is how many users are kept in each of a draft's lists. With more,
// everyone is told to look at all.
const maxUsers = 10_000

// maxMoments is how many moments are kept. Where there are more, all are lost.
const maxMoments = 10_000

// draft is what waits to be told, merged. Its zero value is empty.
type draft struct {
	number   int64
	channels map[int64]int64
	users    map[int64]struct{}
	readers  map[int64]struct{}
	presence map[int64]*crowd // by channel
	moments  []Moment
	ask, bye bool
	signs
}

// crowd is the last that is to be said of each user in a channel.
type crowd struct {
	whole bool
	users map[int64]arrival
}

// arrival is of a user who has come, or has gone.
type arrival struct {
	here bool
	name string
}

// add merges in what is told after all that the draft holds.
func (d *draft) add(l letter) {
	d.number = max(d.number, l.Number)
	for id, revision := range l.Channels {
		if d.channels == nil {
			d.channels = map[int64]int64{}
		}
		if known, ok := d.channels[id]; !ok || known < revision {
			d.channels[id] = revision
		}
	}
	d.addUsers(&d.users, l.Users)
	d.addUsers(&d.readers, l.Readers)
	for _, p := range l.Presence {
		if d.presence == nil {
			d.presence = map[int64]*crowd{}
		}
		c := d.presence[p.Channel]
		if c == nil {
			c = &crowd{users: map[int64]arrival{}}
			d.presence[p.Channel] = c
		}
		if p.Whole {
			c.whole = true
			for id := range c.users {
				c.users[id] = arrival{} // to be said, for the whole may have to be cut
			}
		}
		for _, u := range p.Here {
			c.users[u.ID] = arrival{true, u.Name}
		}
		for _, id := range p.Gone {
			c.users[id] = arrival{}
		}
	}
	if d.moments = append(d.moments, l.Moments...); len(d.moments) > maxMoments {
		d.moments = nil
	}
	d.ask = d.ask || l.Ask
	d.bye = d.bye || l.Bye
	d.Unsure = d.Unsure || l.Unsure
	d.Deaf = d.Deaf || l.Deaf
	d.NATS = d.NATS || l.NATS
}

func (d *draft) addUsers(set *map[int64]struct{}, users []int64) {
	for _, id := range users {
		if *set == nil {
			*set = map[int64]struct{}{}
		}
		(*set)[id] = struct{}{}
	}
	if len(*set) > maxUsers {
		*set, d.Unsure = nil, true
	}
}

// age drops what is not true for long: who is there is told again.
func (d *draft) age() { d.presence, d.moments = nil, nil }

func (d *draft) empty() bool {
	return len(d.channels)+len(d.users)+len(d.readers)+len(d.presence)+len(d.moments) == 0 &&
		!d.ask && !d.bye && d.signs == signs{}
}

// letter returns all that waits, as told by a node.
func (d *draft) letter(node string) letter {
	l := letter{Notice{Node: node, Number: d.number, Channels: d.channels, Ask: d.ask, Bye: d.bye}, d.signs}
	l.Users = slices.Collect(maps.Keys(d.users))
	l.Readers = slices.Collect(maps.Keys(d.readers))
	l.Moments = slices.Clone(d.moments)
	for channel, c := range d.presence {
		p := Presence{Channel: channel, Whole: c.whole}
		for id, a := range c.users {
			if a.here {
				p.Here = append(p.Here, User{id, a.name})
			} else {
				p.Gone = append(p.Gone, id)
			}
		}
		l.Presence = append(l.Presence, p)
	}
	return l
}
