package hub

import (
	"math"
	"time"
	"unicode/utf8"
)

const (
	// awayTime is how long those who are at another node are here unless it says
	// so again. It is to do that three times as often.
	awayTime = 15 * time.Second

	// What other nodes tell may come from anyone who can reach the bus. So what is
	// kept of it has bounds: so many nodes, so many people at each, who count once
	// for every channel that they are in, and names of so many characters.
	maxNodes  = 1000
	maxPeople = 100_000
	maxName   = 64
)

// Attendance is who is in a channel at one node, as nodes tell each other. It
// may be told twice, late, out of order or not at all: what is wrong then is
// put right when the node tells of everybody again.
type Attendance struct {
	ChannelID int64
	Here      []User  // who have come, or are here still
	Gone      []int64 // the ids of those who are not
	Whole     bool    // nobody but those is here
}

// Announce has other nodes told of who comes to a channel at this node, and who
// has been gone from it for the time that a reload may take. However many tabs
// they have, they come and go once. It is to be called before anybody comes.
//
// The function is called by one goroutine, so that what is told is in order, and
// for all channels at once. It must not wait for long. What it is given is its
// own.
func (r *Registry) Announce(tell func([]Attendance)) {
	c := r.crowds
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell = tell
}

// Retell has other nodes told soon of everybody at this node, each channel as a
// whole. Nodes are to be told so every five seconds, and when one has come that
// knows nothing.
func (r *Registry) Retell() {
	c := r.crowds
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retelling = true
	c.signal()
}

// attendances returns what other nodes are to be told.
func (c *crowds) attendances() []Attendance {
	if c.tell == nil {
		return nil
	}
	var all []Attendance
	for channelID, users := range c.moved {
		a := Attendance{ChannelID: channelID}
		for id := range users {
			if who := c.find(channelID, id); who != nil && who.isHere() {
				a.Here = append(a.Here, User{id, who.name})
			} else {
				a.Gone = append(a.Gone, id)
			}
		}
		all = append(all, a)
	}
	clear(c.moved)
	if !c.retelling {
		return all
	}
	c.retelling = false
	for channelID, crowd := range c.byChannel {
		a := Attendance{ChannelID: channelID, Whole: true}
		for id, who := range crowd.people {
			if who.isHere() {
				a.Here = append(a.Here, User{id, who.name})
			}
		}
		if len(a.Here) > 0 {
			all = append(all, a)
		}
	}
	return all
}

// find returns a person in a channel, nil for none.
func (c *crowds) find(channelID, userID int64) *person {
	if crowd := c.byChannel[channelID]; crowd != nil {
		return crowd.people[userID]
	}
	return nil
}

// node is another node, as long as there is anybody at it, and as long after the
// last word of it.
type node struct {
	number   int64             // of the last word: what was told before does not undo it
	until    time.Time         // it is kept, at the least
	channels map[int64]*guests // in which there is anybody
	people   int               // in all of them
}

// guests is who is in a channel at another node.
type guests struct {
	until map[int64]time.Time // by user: when they are gone, unless the node says that they are not
	next  time.Time           // nobody is gone before
}

// Elsewhere says who is in a channel at another node, never this one. They are
// here too then, for 15 seconds unless that is said again. A whole that is too
// long for one message may be told in parts, none of which is whole.
//
// A node numbers what it tells. What has a lower number than the last that was
// heard of it is ignored, and so is what cannot be: people whose names have more
// than 64 characters, more than 100,000 of them at a node, more than 1000 nodes.
func (r *Registry) Elsewhere(name string, number int64, a Attendance) {
	c := r.crowds
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[name]
	if n == nil {
		if len(c.nodes) >= maxNodes {
			return
		}
		n = &node{number: number, channels: map[int64]*guests{}}
		c.nodes[name] = n
	}
	if number < n.number {
		return
	}
	until := time.Now().Add(awayTime)
	n.number, n.until = number, until
	g := n.channels[a.ChannelID]
	if g == nil {
		g = &guests{until: make(map[int64]time.Time, len(a.Here)), next: until}
		n.channels[a.ChannelID] = g
		c.signal() // the flusher has somebody more to wait for
	}
	for _, u := range a.Here {
		if _, known := g.until[u.ID]; !known {
			if n.people >= maxPeople || utf8.RuneCountInString(u.Name) > maxName {
				continue
			}
			_, who := c.person(a.ChannelID, u)
			who.nodes++
			n.people++
		}
		g.until[u.ID] = until
	}
	for _, id := range a.Gone {
		c.part(n, a.ChannelID, id)
	}
	if a.Whole && len(g.until) > len(a.Here) {
		stay := make(map[int64]struct{}, len(a.Here))
		for _, u := range a.Here {
			stay[u.ID] = struct{}{}
		}
		for id := range g.until {
			if _, ok := stay[id]; !ok {
				c.part(n, a.ChannelID, id)
			}
		}
	}
	n.tidy(a.ChannelID)
}

// NodeGone says that another node is no more, and nothing that is heard of it
// later is new. Those who were there have the time that a reload may take to come
// to another.
func (r *Registry) NodeGone(name string) {
	c := r.crowds
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[name]
	if n == nil {
		return
	}
	latest := time.Now().Add(graceTime)
	n.number, n.until = math.MaxInt64, latest
	for _, g := range n.channels {
		for id, until := range g.until {
			if until.After(latest) {
				g.until[id] = latest
			}
		}
		if g.next.After(latest) {
			g.next = latest
		}
	}
	c.signal()
}

// part takes a user away from those who are in a channel at another node.
func (c *crowds) part(n *node, channelID, userID int64) {
	g := n.channels[channelID]
	if _, known := g.until[userID]; !known {
		return
	}
	delete(g.until, userID)
	n.people--
	c.byChannel[channelID].people[userID].nodes--
	c.release(channelID, userID)
}

// tidy forgets a channel in which nobody is.
func (n *node) tidy(channelID int64) {
	if len(n.channels[channelID].until) == 0 {
		delete(n.channels, channelID)
	}
}

// expireElsewhere takes away those of whom their nodes have said nothing for too
// long, and then the nodes. It returns a time before which nothing else is so,
// zero where there are no nodes.
func (c *crowds) expireElsewhere(now time.Time) (next time.Time) {
	earliest := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for name, n := range c.nodes {
		for channelID, g := range n.channels {
			if !now.Before(g.next) {
				g.next = now.Add(awayTime)
				for id, until := range g.until {
					switch {
					case !now.Before(until):
						c.part(n, channelID, id)
					case until.Before(g.next):
						g.next = until
					}
				}
				n.tidy(channelID)
			}
			if len(g.until) > 0 {
				earliest(g.next)
			}
		}
		switch {
		case len(n.channels) > 0:
		case !now.Before(n.until):
			delete(c.nodes, name)
		default:
			earliest(n.until)
		}
	}
	return next
}
