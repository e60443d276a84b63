package hub

import (
	"cmp"
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// graceTime is how long a user is still here after the last of their
	// connections has gone. Held answers, reloads and restarts take less.
	graceTime = 5 * time.Second

	// typingTime is how long a user types unless they are said to again.
	typingTime = 5 * time.Second

	// flushTime is the least time between two frames of presence, in which all
	// that happens becomes one.
	flushTime = 250 * time.Millisecond
)

// User is a person as the others in a channel see them.
type User struct {
	ID   int64
	Name string
}

// MaxNamed is how many people a presence names. The others are counted: what
// is told of a full house should not grow with it.
const MaxNamed = 12

// Presence is who is in a channel and who types there, each by name, and
// MaxNamed of them at most.
type Presence struct {
	Here   []User
	More   int // who are here and not named
	Typing []User
}

// State names this presence in 16 hexadecimal digits at most: the same for what
// looks the same, on every node.
func (p Presence) State() string {
	var text []byte
	for _, users := range [][]User{p.Here, p.Typing} {
		for _, u := range users {
			text = strconv.AppendInt(text, u.ID, 10)
			text = append(text, ' ')
			text = append(text, u.Name...)
			text = append(text, 0)
		}
		text = append(text, 0)
	}
	text = strconv.AppendInt(text, int64(p.More), 10)
	digest := fnv.New64a()
	digest.Write(text)
	return strconv.FormatUint(digest.Sum64(), 16)
}

// to is this presence as one user is told of it: whether they type they know.
func (p Presence) to(viewer User) Presence {
	if slices.ContainsFunc(p.Typing, viewer.is) {
		p.Typing = slices.DeleteFunc(slices.Clone(p.Typing), viewer.is)
	}
	return p
}

func (u User) is(other User) bool { return u.ID == other.ID }

func byName(a, b User) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

// Visitor is who subscribes.
type Visitor struct {
	User User
	Seen string // the state of the presence that their page shows, "" where it shows none: then they are told of none
}

// Presence returns who is in a channel, for the page of a viewer, who is about
// to be here too. It reads nothing from the source.
func (r *Registry) Presence(channelID int64, viewer User) Presence {
	return r.crowds.presence(channelID, viewer)
}

// Typing says that a user types. It is forgotten after five seconds, unless
// said again, and ignored where the user is not in the channel, on this node or
// another.
func (r *Registry) Typing(channelID int64, user User) {
	r.crowds.typing(channelID, user.ID)
}

// crowds is who is in which channel, on this node and on others. It knows nobody
// but through their live connections here and what other nodes say, and nothing
// of hubs, which come and go.
type crowds struct {
	// settled is when those who were on an earlier node have come to this one.
	// Till then whoever brings a presence along keeps it: it will be true again
	// soon.
	settled time.Time

	wake chan struct{} // has room for one: there is something to do for the flusher

	mu        sync.Mutex
	byChannel map[int64]*crowd
	nodes     map[string]*node             // by name
	tell      func([]Attendance)           // tells other nodes, nil where there are none
	stirred   map[int64]struct{}           // channels in which not all may have been told who is here
	pending   map[int64]struct{}           // channels in which somebody's time will be over
	moved     map[int64]map[int64]struct{} // who has come to or gone from this node, by channel
	retelling bool                         // other nodes are to be told of everybody
}

func newCrowds() *crowds {
	return &crowds{
		settled: time.Now().Add(graceTime), wake: make(chan struct{}, 1),
		byChannel: map[int64]*crowd{}, nodes: map[string]*node{},
		stirred: map[int64]struct{}{}, pending: map[int64]struct{}{}, moved: map[int64]map[int64]struct{}{},
	}
}

// crowd is who is in one channel.
type crowd struct {
	people  map[int64]*person
	first   []User             // those of them who are first by name, but maybe fewer than named returns
	typists map[int64]struct{} // those who type
	leaving map[int64]struct{} // those who have no subscriber left at this node, but are here still
}

// person is one user in a channel.
type person struct {
	name   string
	tabs   int       // how many subscribers they have at this node
	leaves time.Time // when they are gone from this node; zero while they have a subscriber, or never were at it
	nodes  int       // at how many other nodes they are
	typing time.Time // till when, if they type
}

// isHere reports whether a person is at this node.
func (p *person) isHere() bool { return p.tabs > 0 || !p.leaves.IsZero() }

// presence is who is in a channel, with a viewer who is or is about to be.
func (c *crowds) presence(channelID int64, viewer User) Presence {
	c.mu.Lock()
	defer c.mu.Unlock()
	crowd := c.byChannel[channelID]
	if crowd == nil {
		return Presence{Here: []User{viewer}}
	}
	p := crowd.presence()
	if crowd.people[viewer.ID] == nil {
		at, _ := slices.BinarySearchFunc(p.Here, viewer, byName)
		p.Here = slices.Insert(p.Here, at, viewer)
		if len(p.Here) > MaxNamed {
			p.Here, p.More = p.Here[:MaxNamed], p.More+1
		}
	}
	return p.to(viewer)
}

// enter counts a subscriber in.
func (c *crowds) enter(channelID int64, u User) {
	c.mu.Lock()
	defer c.mu.Unlock()
	crowd, who := c.person(channelID, u)
	if !who.isHere() {
		c.move(channelID, u.ID)
	}
	who.leaves = time.Time{}
	delete(crowd.leaving, u.ID)
	who.tabs++
	c.stir(channelID) // though they were here: they may not know what others do
}

// leave counts a subscriber out.
func (c *crowds) leave(channelID int64, u User) {
	c.mu.Lock()
	defer c.mu.Unlock()
	crowd := c.byChannel[channelID]
	who := crowd.people[u.ID]
	who.tabs--
	if who.tabs == 0 {
		who.leaves = time.Now().Add(graceTime)
		crowd.leaving[u.ID] = struct{}{}
		c.await(channelID)
	}
}

func (c *crowds) typing(channelID, userID int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	crowd := c.byChannel[channelID]
	if crowd == nil || crowd.people[userID] == nil {
		return
	}
	crowd.people[userID].typing = time.Now().Add(typingTime)
	if _, already := crowd.typists[userID]; !already {
		crowd.typists[userID] = struct{}{}
		c.stir(channelID)
		c.await(channelID)
	}
}

// stopped says that a user types no more.
func (c *crowds) stopped(channelID, userID int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	crowd := c.byChannel[channelID]
	if crowd == nil {
		return
	}
	if _, typed := crowd.typists[userID]; typed {
		delete(crowd.typists, userID)
		c.stir(channelID)
	}
}

// person returns a user in a channel, who is in it from now on.
func (c *crowds) person(channelID int64, u User) (*crowd, *person) {
	in := c.byChannel[channelID]
	if in == nil {
		in = &crowd{people: map[int64]*person{}, typists: map[int64]struct{}{}, leaving: map[int64]struct{}{}}
		c.byChannel[channelID] = in
	}
	who := in.people[u.ID]
	if who == nil {
		who = in.add(u)
		c.stir(channelID)
	}
	return in, who
}

// release takes a person out of a channel who is at no node any more.
func (c *crowds) release(channelID, userID int64) {
	crowd := c.byChannel[channelID]
	if who := crowd.people[userID]; who.isHere() || who.nodes > 0 {
		return
	}
	crowd.drop(userID)
	if len(crowd.people) == 0 {
		delete(c.byChannel, channelID)
	}
	c.stir(channelID)
}

// move notes that a user has come to this node or is gone from it, if there are
// others to be told.
func (c *crowds) move(channelID, userID int64) {
	if c.tell == nil {
		return
	}
	if c.moved[channelID] == nil {
		c.moved[channelID] = map[int64]struct{}{}
	}
	c.moved[channelID][userID] = struct{}{}
	c.signal()
}

// stir notes that somebody may have to be told of another presence.
func (c *crowds) stir(channelID int64) {
	c.stirred[channelID] = struct{}{}
	c.signal()
}

// await notes that somebody's time in a channel will be over.
func (c *crowds) await(channelID int64) {
	c.pending[channelID] = struct{}{}
	c.signal()
}

func (c *crowds) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// expire ends what has had its time at this node.
func (c *crowds) expire(now time.Time) {
	for channelID := range c.pending {
		crowd := c.byChannel[channelID]
		if crowd == nil {
			delete(c.pending, channelID)
			continue
		}
		for id := range crowd.typists {
			if !now.Before(crowd.people[id].typing) {
				delete(crowd.typists, id)
				c.stir(channelID)
			}
		}
		for id := range crowd.leaving {
			if who := crowd.people[id]; !now.Before(who.leaves) {
				who.leaves = time.Time{}
				delete(crowd.leaving, id)
				c.move(channelID, id)
				c.release(channelID, id)
			}
		}
		if len(crowd.typists) == 0 && len(crowd.leaving) == 0 {
			delete(c.pending, channelID)
		}
	}
}

// add adds a user. What is first by name stays so.
func (c *crowd) add(u User) *person {
	if at, _ := slices.BinarySearchFunc(c.first, u, byName); at < len(c.first) {
		c.first = slices.Insert(c.first, at, u)
		c.first = c.first[:min(len(c.first), MaxNamed)]
	}
	who := &person{name: u.Name}
	c.people[u.ID] = who
	return who
}

func (c *crowd) drop(userID int64) {
	c.first = slices.DeleteFunc(c.first, User{ID: userID}.is)
	delete(c.people, userID)
	delete(c.typists, userID)
}

// named returns those who are first by name, MaxNamed at most. It goes through
// all only where there are few, or one of the first has gone.
func (c *crowd) named() []User {
	if len(c.first) < min(MaxNamed, len(c.people)) {
		c.first = c.first[:0]
		for id, who := range c.people {
			u := User{id, who.name}
			if n := len(c.first); n == MaxNamed && byName(u, c.first[n-1]) > 0 {
				continue
			}
			at, _ := slices.BinarySearchFunc(c.first, u, byName)
			c.first = slices.Insert(c.first, at, u)
			c.first = c.first[:min(len(c.first), MaxNamed)]
		}
	}
	return c.first
}

// presence is who is here, as everybody sees it. The slices are the caller's.
func (c *crowd) presence() Presence {
	named := c.named()
	p := Presence{Here: slices.Clone(named), More: len(c.people) - len(named)}
	for id := range c.typists {
		p.Typing = append(p.Typing, User{id, c.people[id].name})
	}
	slices.SortFunc(p.Typing, byName)
	p.Typing = p.Typing[:min(len(p.Typing), MaxNamed)]
	return p
}

// greet prepares a visitor's subscriber: what it is told of the presence first
// if that is not what it has seen.
func (h *Hub) greet(v Visitor) *Subscriber {
	s := NewSubscriber()
	s.hub, s.user, s.told = h, v.User, v.Seen
	if v.Seen == "" {
		return s
	}
	p := h.crowds.presence(h.channelID, v.User)
	switch state := p.State(); {
	case state == v.Seen:
	case time.Now().Before(h.crowds.settled):
		s.patient = true
	default:
		s.told = state
		s.show(h.source.Presence(p))
	}
	return s
}

// flush tells of presence, here and to other nodes, until ctx ends. It sleeps
// while there is nothing to tell and nobody's time will be over.
func (r *Registry) flush(ctx context.Context) {
	var due <-chan time.Time
	for {
		select {
		case <-r.crowds.wake:
		case <-due:
		case <-ctx.Done():
			return
		}
		due = nil
		if next := r.flushOnce(); !next.IsZero() {
			due = time.After(time.Until(next))
		}
		select {
		case <-time.After(flushTime):
		case <-ctx.Done():
			return
		}
	}
}

// flushOnce returns when it is to be called again at the latest, zero for never.
func (r *Registry) flushOnce() (next time.Time) {
	now := time.Now()
	c := r.crowds
	c.mu.Lock()
	c.expire(now)
	next = c.expireElsewhere(now)
	attendances, tell := c.attendances(), c.tell
	stirred := c.stirred
	c.stirred = map[int64]struct{}{}
	select {
	case <-c.wake: // for what has been seen to now
	default:
	}
	if len(c.pending) > 0 {
		c.signal()
	}
	c.mu.Unlock()

	// Without the lock: nobody waits for other nodes or for the rendering.
	if len(attendances) > 0 {
		tell(attendances)
	}
	for channelID := range stirred {
		if h := r.find(channelID); h != nil {
			h.flush(now)
		}
	}
	return next
}

// flush tells every subscriber of the presence, unless it knows. Only the
// flusher calls it.
func (h *Hub) flush(now time.Time) {
	everyone, subscribers := h.audience(now)
	common := everyone.State()
	frames := map[string][]byte{}
	for _, s := range subscribers {
		p, state := everyone, common
		if slices.ContainsFunc(everyone.Typing, s.user.is) {
			p = everyone.to(s.user)
			state = p.State()
		}
		if s.told == "" || s.told == state {
			continue
		}
		frame, ok := frames[state]
		if !ok {
			frame = h.source.Presence(p)
			frames[state] = frame
		}
		s.told = state
		s.show(frame)
	}
}

// audience returns who is here, and the subscribers that may have to be told.
func (h *Hub) audience(now time.Time) (Presence, []*Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.crowds.mu.Lock()
	defer h.crowds.mu.Unlock()
	crowd := h.crowds.byChannel[h.channelID]
	if crowd == nil {
		return Presence{}, nil // nor are there subscribers
	}
	subscribers := make([]*Subscriber, 0, len(h.subscribers))
	for s := range h.subscribers {
		if s.patient && now.Before(h.crowds.settled) {
			h.crowds.stir(h.channelID)
			continue
		}
		subscribers = append(subscribers, s)
	}
	return crowd.presence(), subscribers
}
