package hub

import (
	"slices"
	"sync"
	"time"
)

// roster is who is in which channel, on this node and on others. It knows nobody
// but through their live connections here and what other nodes say, and nothing
// of hubs, which come and go.
type roster struct {
	// settledAt is when those who were on an earlier node have come to this one.
	// Until then pages keep what they show of the presence, because it will be true
	// again soon.
	settledAt time.Time

	wake chan struct{} // has room for one: there is something to do for the flusher

	mu          sync.Mutex
	byChannel   map[int64]*attendees
	nodes       map[string]*node             // other nodes, by name
	notify      func([]Attendance)           // notifies other nodes, nil where there are none
	dirty       map[int64]struct{}           // channels whose presence may have changed since it was sent
	expiring    map[int64]struct{}           // channels in which somebody's time will be over
	unannounced map[int64]map[int64]struct{} // users who have come to or gone from this node, by channel
	announceAll bool                         // other nodes are to be notified of everybody
}

func newRoster() *roster {
	return &roster{
		settledAt: time.Now().Add(graceTime), wake: make(chan struct{}, 1),
		byChannel: map[int64]*attendees{}, nodes: map[string]*node{},
		dirty: map[int64]struct{}{}, expiring: map[int64]struct{}{}, unannounced: map[int64]map[int64]struct{}{},
	}
}

// attendees is who is in one channel.
type attendees struct {
	people  map[int64]*person
	first   []User             // those of them who are first by name, but maybe fewer than named returns
	typists map[int64]struct{} // those who type
	leaving map[int64]struct{} // those who have no subscriber left at this node, but are present still
}

// person is one user in a channel.
type person struct {
	name        string
	subscribers int       // how many they have at this node
	leavesAt    time.Time // when they are gone from this node; zero while they have a subscriber, or never were at it
	nodes       int       // at how many other nodes they are
	typingUntil time.Time // if they type
}

// isLocal reports whether a person is at this node.
func (p *person) isLocal() bool { return p.subscribers > 0 || !p.leavesAt.IsZero() }

// presence is who is in a channel, with a viewer who is or is about to be.
func (r *roster) presence(channelID int64, viewer User) Presence {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.byChannel[channelID]
	if in == nil {
		return Presence{Here: []User{viewer}}
	}
	p := in.presence()
	if in.people[viewer.ID] == nil {
		at, _ := slices.BinarySearchFunc(p.Here, viewer, byName)
		p.Here = slices.Insert(p.Here, at, viewer)
		if len(p.Here) > MaxNamed {
			p.Here, p.More = p.Here[:MaxNamed], p.More+1
		}
	}
	return p.seenBy(viewer)
}

// enter counts a subscriber in.
func (r *roster) enter(channelID int64, u User) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in, who := r.add(channelID, u)
	if !who.isLocal() {
		r.announce(channelID, u.ID)
	}
	who.leavesAt = time.Time{}
	delete(in.leaving, u.ID)
	who.subscribers++
	r.markDirty(channelID) // though they were here: they may not show what others do
}

// leave counts a subscriber out.
func (r *roster) leave(channelID int64, u User) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.byChannel[channelID]
	who := in.people[u.ID]
	who.subscribers--
	if who.subscribers == 0 {
		who.leavesAt = time.Now().Add(graceTime)
		in.leaving[u.ID] = struct{}{}
		r.expireLater(channelID)
	}
}

func (r *roster) typing(channelID, userID int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.byChannel[channelID]
	if in == nil || in.people[userID] == nil {
		return
	}
	in.people[userID].typingUntil = time.Now().Add(typingTime)
	if _, already := in.typists[userID]; !already {
		in.typists[userID] = struct{}{}
		r.markDirty(channelID)
		r.expireLater(channelID)
	}
}

func (r *roster) stopTyping(channelID, userID int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.byChannel[channelID]
	if in == nil {
		return
	}
	if _, typed := in.typists[userID]; typed {
		delete(in.typists, userID)
		r.markDirty(channelID)
	}
}

// add returns a user in a channel, who is in it from now on.
func (r *roster) add(channelID int64, u User) (*attendees, *person) {
	in := r.byChannel[channelID]
	if in == nil {
		in = &attendees{people: map[int64]*person{}, typists: map[int64]struct{}{}, leaving: map[int64]struct{}{}}
		r.byChannel[channelID] = in
	}
	who := in.people[u.ID]
	if who == nil {
		who = in.add(u)
		r.markDirty(channelID)
	}
	return in, who
}

// removeIfGone removes a person from a channel who is at no node any more.
func (r *roster) removeIfGone(channelID, userID int64) {
	in := r.byChannel[channelID]
	if who := in.people[userID]; who.isLocal() || who.nodes > 0 {
		return
	}
	in.remove(userID)
	if len(in.people) == 0 {
		delete(r.byChannel, channelID)
	}
	r.markDirty(channelID)
}

// announce notes that a user has come to this node or is gone from it, if there
// are others to be notified.
func (r *roster) announce(channelID, userID int64) {
	if r.notify == nil {
		return
	}
	if r.unannounced[channelID] == nil {
		r.unannounced[channelID] = map[int64]struct{}{}
	}
	r.unannounced[channelID][userID] = struct{}{}
	r.signal()
}

// markDirty notes that pages may have to be sent another presence.
func (r *roster) markDirty(channelID int64) {
	r.dirty[channelID] = struct{}{}
	r.signal()
}

// expireLater notes that somebody's time in a channel will be over.
func (r *roster) expireLater(channelID int64) {
	r.expiring[channelID] = struct{}{}
	r.signal()
}

func (r *roster) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// rosterChanges is what has changed since it was asked for last.
type rosterChanges struct {
	channels    map[int64]struct{} // whose presence may be another
	attendances []Attendance       // for other nodes
	notify      func([]Attendance)
	next        time.Time // when to ask again at the latest, zero for never
}

// takeChanges ends what has had its time, and returns what has changed.
func (r *roster) takeChanges(now time.Time) rosterChanges {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire(now)
	next := r.expireRemote(now)
	changes := rosterChanges{channels: r.dirty, attendances: r.takeAttendances(), notify: r.notify, next: next}
	r.dirty = map[int64]struct{}{}
	select {
	case <-r.wake: // for what is returned
	default:
	}
	if len(r.expiring) > 0 {
		r.signal()
	}
	return changes
}

// expire ends what has had its time at this node.
func (r *roster) expire(now time.Time) {
	for channelID := range r.expiring {
		in := r.byChannel[channelID]
		if in == nil {
			delete(r.expiring, channelID)
			continue
		}
		for id := range in.typists {
			if !now.Before(in.people[id].typingUntil) {
				delete(in.typists, id)
				r.markDirty(channelID)
			}
		}
		for id := range in.leaving {
			if who := in.people[id]; !now.Before(who.leavesAt) {
				who.leavesAt = time.Time{}
				delete(in.leaving, id)
				r.announce(channelID, id)
				r.removeIfGone(channelID, id)
			}
		}
		if len(in.typists) == 0 && len(in.leaving) == 0 {
			delete(r.expiring, channelID)
		}
	}
}

// find returns a person in a channel, nil for none.
func (r *roster) find(channelID, userID int64) *person {
	if in := r.byChannel[channelID]; in != nil {
		return in.people[userID]
	}
	return nil
}

// add adds a user. What is first by name stays so.
func (a *attendees) add(u User) *person {
	if at, _ := slices.BinarySearchFunc(a.first, u, byName); at < len(a.first) {
		a.first = slices.Insert(a.first, at, u)
		a.first = a.first[:min(len(a.first), MaxNamed)]
	}
	who := &person{name: u.Name}
	a.people[u.ID] = who
	return who
}

func (a *attendees) remove(userID int64) {
	a.first = slices.DeleteFunc(a.first, User{ID: userID}.is)
	delete(a.people, userID)
	delete(a.typists, userID)
}

// named returns those who are first by name, MaxNamed at most. It goes through
// all only where there are few, or one of the first has gone.
func (a *attendees) named() []User {
	if len(a.first) < min(MaxNamed, len(a.people)) {
		a.first = a.first[:0]
		for id, who := range a.people {
			u := User{id, who.name}
			if n := len(a.first); n == MaxNamed && byName(u, a.first[n-1]) > 0 {
				continue
			}
			at, _ := slices.BinarySearchFunc(a.first, u, byName)
			a.first = slices.Insert(a.first, at, u)
			a.first = a.first[:min(len(a.first), MaxNamed)]
		}
	}
	return a.first
}

// presence is who is here, as everybody sees it. The slices are the caller's.
func (a *attendees) presence() Presence {
	named := a.named()
	p := Presence{Here: slices.Clone(named), More: len(a.people) - len(named)}
	for id := range a.typists {
		p.Typing = append(p.Typing, User{id, a.people[id].name})
	}
	slices.SortFunc(p.Typing, byName)
	p.Typing = p.Typing[:min(len(p.Typing), MaxNamed)]
	return p
}
