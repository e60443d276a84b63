package hub

import (
	"math"
	"time"
	"unicode/utf8"
)

const (
	// remoteTime is how long those who are at another node are present unless it
	// says so again. It is to do that three times as often.
	remoteTime = 15 * time.Second

	// What other nodes say may come from anyone who can reach the bus. So what is
	// kept of it has bounds: so many nodes, so many people at each, who count once
	// for every channel that they are in, and names of so many characters.
	maxNodes  = 1000
	maxPeople = 100_000
	maxName   = 64
)

// Attendance is who is in a channel at one node, as nodes notify each other. It
// may come twice, late, out of order or not at all: what is wrong then is put
// right when the node announces everybody again.
type Attendance struct {
	ChannelID int64
	Here      []User  // who have come, or are here still
	Gone      []int64 // the ids of those who are not
	Whole     bool    // nobody but those is here
}

// OnAttendance registers what notifies other nodes of who comes to a channel at
// this node, and who has been gone from it for the time that a reload may take.
// However many connections they have, they come and go once. It is to be called
// before anybody comes.
//
// The function is called by one goroutine, in order, and for all channels at
// once. It must not wait for long. What it is given is its own.
func (r *Registry) OnAttendance(notify func([]Attendance)) {
	r.roster.mu.Lock()
	defer r.roster.mu.Unlock()
	r.roster.notify = notify
}

// AnnounceAll has other nodes notified soon of everybody at this node, each
// channel as a whole. Nodes are to be notified so every five seconds, and when one
// has come that knows nothing.
func (r *Registry) AnnounceAll() {
	r.roster.mu.Lock()
	defer r.roster.mu.Unlock()
	r.roster.announceAll = true
	r.roster.signal()
}

// takeAttendances returns what other nodes are to be notified of.
func (r *roster) takeAttendances() []Attendance {
	if r.notify == nil {
		return nil
	}
	var all []Attendance
	for channelID, users := range r.unannounced {
		a := Attendance{ChannelID: channelID}
		for id := range users {
			if who := r.find(channelID, id); who != nil && who.isLocal() {
				a.Here = append(a.Here, User{id, who.name})
			} else {
				a.Gone = append(a.Gone, id)
			}
		}
		all = append(all, a)
	}
	clear(r.unannounced)
	if !r.announceAll {
		return all
	}
	r.announceAll = false
	for channelID, in := range r.byChannel {
		a := Attendance{ChannelID: channelID, Whole: true}
		for id, who := range in.people {
			if who.isLocal() {
				a.Here = append(a.Here, User{id, who.name})
			}
		}
		if len(a.Here) > 0 {
			all = append(all, a)
		}
	}
	return all
}

// node is another node, as long as there is anybody at it, and as long after its
// last notice.
type node struct {
	number   int64     // of the last notice: an earlier one does not undo it
	until    time.Time // it is kept, at the least
	channels map[int64]*remoteAttendees
	people   int // in all channels
}

// remoteAttendees is who is in a channel at another node.
type remoteAttendees struct {
	until map[int64]time.Time // by user: when they are gone, unless the node says again that they are here
	next  time.Time           // nobody is gone before
}

// SetRemote says who is in a channel at another node, never this one. They are
// present here too then, for 15 seconds unless that is said again. A whole that is
// too long for one notice may come in parts, none of which is whole.
//
// A node numbers its notices. One with a lower number than the last is ignored,
// and so is what cannot be: people whose names have more than 64 characters, more
// than 100,000 of them at a node, more than 1000 nodes.
func (r *Registry) SetRemote(name string, number int64, a Attendance) {
	r.roster.mu.Lock()
	defer r.roster.mu.Unlock()
	r.roster.setRemote(name, number, a)
}

func (r *roster) setRemote(name string, number int64, a Attendance) {
	n := r.nodes[name]
	if n == nil {
		if len(r.nodes) >= maxNodes {
			return
		}
		n = &node{number: number, channels: map[int64]*remoteAttendees{}}
		r.nodes[name] = n
	}
	if number < n.number {
		return
	}
	until := time.Now().Add(remoteTime)
	n.number, n.until = number, until
	in := n.channels[a.ChannelID]
	if in == nil {
		in = &remoteAttendees{until: make(map[int64]time.Time, len(a.Here)), next: until}
		n.channels[a.ChannelID] = in
		r.signal() // the flusher has another time to wait for
	}
	for _, u := range a.Here {
		if _, known := in.until[u.ID]; !known {
			if n.people >= maxPeople || utf8.RuneCountInString(u.Name) > maxName {
				continue
			}
			_, who := r.add(a.ChannelID, u)
			who.nodes++
			n.people++
		}
		in.until[u.ID] = until
	}
	for _, id := range a.Gone {
		r.removeRemote(n, a.ChannelID, id)
	}
	if a.Whole && len(in.until) > len(a.Here) {
		stay := make(map[int64]struct{}, len(a.Here))
		for _, u := range a.Here {
			stay[u.ID] = struct{}{}
		}
		for id := range in.until {
			if _, ok := stay[id]; !ok {
				r.removeRemote(n, a.ChannelID, id)
			}
		}
	}
	n.removeIfEmpty(a.ChannelID)
}

// RemoveNode says that another node has stopped, and that nothing which comes from
// it later is new. Those who were there have the time that a reload may take to
// come to another.
func (r *Registry) RemoveNode(name string) {
	r.roster.mu.Lock()
	defer r.roster.mu.Unlock()
	n := r.roster.nodes[name]
	if n == nil {
		return
	}
	latest := time.Now().Add(graceTime)
	n.number, n.until = math.MaxInt64, latest
	for _, in := range n.channels {
		for id, until := range in.until {
			if until.After(latest) {
				in.until[id] = latest
			}
		}
		if in.next.After(latest) {
			in.next = latest
		}
	}
	r.roster.signal()
}

// removeRemote removes a user from those who are in a channel at another node.
func (r *roster) removeRemote(n *node, channelID, userID int64) {
	in := n.channels[channelID]
	if _, known := in.until[userID]; !known {
		return
	}
	delete(in.until, userID)
	n.people--
	r.byChannel[channelID].people[userID].nodes--
	r.removeIfGone(channelID, userID)
}

// removeIfEmpty removes a channel in which nobody is.
func (n *node) removeIfEmpty(channelID int64) {
	if len(n.channels[channelID].until) == 0 {
		delete(n.channels, channelID)
	}
}

// expireRemote removes those of whom their nodes have said nothing for too long,
// and then the nodes. It returns a time before which it has nothing to do, zero
// where there are no nodes.
func (r *roster) expireRemote(now time.Time) (next time.Time) {
	earliest := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for name, n := range r.nodes {
		for channelID, in := range n.channels {
			if !now.Before(in.next) {
				in.next = now.Add(remoteTime)
				for id, until := range in.until {
					switch {
					case !now.Before(until):
						r.removeRemote(n, channelID, id)
					case until.Before(in.next):
						in.next = until
					}
				}
				n.removeIfEmpty(channelID)
			}
			if len(in.until) > 0 {
				earliest(in.next)
			}
		}
		switch {
		case len(n.channels) > 0:
		case !now.Before(n.until):
			delete(r.nodes, name)
		default:
			earliest(n.until)
		}
	}
	return next
}
