package hub

import "time"

// awayTime is how long those who are at another node are here unless it says so
// again. It is to do that three times as often.
const awayTime = 15 * time.Second

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

// guests is who is in a channel at another node.
type guests struct {
	until map[int64]time.Time // by user: when they are gone, unless the node says that they are not
	next  time.Time           // nobody is gone before
}

// Elsewhere says who is in a channel at another node, never this one. They are
// here too then, for 15 seconds unless that is said again. A whole that is too
// long for one message may be told in parts, none of which is whole.
func (r *Registry) Elsewhere(node string, a Attendance) {
	c := r.crowds
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nodes[node] == nil {
		c.nodes[node] = map[int64]*guests{}
	}
	until := time.Now().Add(awayTime)
	g := c.nodes[node][a.ChannelID]
	if g == nil {
		g = &guests{until: make(map[int64]time.Time, len(a.Here)), next: until}
		c.nodes[node][a.ChannelID] = g
		c.signal() // the flusher has somebody more to wait for
	}
	for _, u := range a.Here {
		if _, known := g.until[u.ID]; !known {
			_, who := c.person(a.ChannelID, u)
			who.nodes++
		}
		g.until[u.ID] = until
	}
	for _, id := range a.Gone {
		c.part(g, a.ChannelID, id)
	}
	if a.Whole && len(g.until) > len(a.Here) {
		stay := make(map[int64]struct{}, len(a.Here))
		for _, u := range a.Here {
			stay[u.ID] = struct{}{}
		}
		for id := range g.until {
			if _, ok := stay[id]; !ok {
				c.part(g, a.ChannelID, id)
			}
		}
	}
	c.tidy(node, a.ChannelID)
}

// NodeGone says that another node is no more. Those who were there have the time
// that a reload may take to come to another.
func (r *Registry) NodeGone(node string) {
	c := r.crowds
	c.mu.Lock()
	defer c.mu.Unlock()
	latest := time.Now().Add(graceTime)
	for _, g := range c.nodes[node] {
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
func (c *crowds) part(g *guests, channelID, userID int64) {
	if _, known := g.until[userID]; !known {
		return
	}
	delete(g.until, userID)
	c.byChannel[channelID].people[userID].nodes--
	c.release(channelID, userID)
}

// tidy forgets another node's channel in which nobody is, and the node with its
// last.
func (c *crowds) tidy(node string, channelID int64) {
	channels := c.nodes[node]
	if len(channels[channelID].until) == 0 {
		delete(channels, channelID)
	}
	if len(channels) == 0 {
		delete(c.nodes, node)
	}
}

// expireElsewhere takes away those of whom their nodes have said nothing for too
// long. It returns a time before which nobody else is gone so, zero where there
// is nobody.
func (c *crowds) expireElsewhere(now time.Time) (next time.Time) {
	for node, channels := range c.nodes {
		for channelID, g := range channels {
			if !now.Before(g.next) {
				g.next = now.Add(awayTime)
				for id, until := range g.until {
					switch {
					case !now.Before(until):
						c.part(g, channelID, id)
					case until.Before(g.next):
						g.next = until
					}
				}
				c.tidy(node, channelID)
			}
			if len(g.until) > 0 && (next.IsZero() || g.next.Before(next)) {
				next = g.next
			}
		}
	}
	return next
}
