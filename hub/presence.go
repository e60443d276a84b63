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
	h := r.find(channelID)
	if h == nil {
		return Presence{Here: []User{viewer}}
	}
	return h.presence(viewer)
}

// Typing says that a user types. It is forgotten after five seconds, unless
// said again, and ignored where the user is not in the channel.
func (r *Registry) Typing(channelID int64, user User) {
	if h := r.find(channelID); h != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.typing(user.ID)
	}
}

// person is one user in a channel.
type person struct {
	name   string
	tabs   int       // how many subscribers they have
	leaves time.Time // when they are gone; zero while they have a subscriber
	typing time.Time // till when they type; zero if they do not
}

// presence is who is here, with a viewer who is or is about to be.
func (h *Hub) presence(viewer User) Presence {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.everyone()
	if _, here := h.people[viewer.ID]; !here {
		at, _ := slices.BinarySearchFunc(p.Here, viewer, byName)
		p.Here = slices.Insert(p.Here, at, viewer)
		if len(p.Here) > MaxNamed {
			p.Here, p.More = p.Here[:MaxNamed], p.More+1
		}
	}
	return p.to(viewer)
}

// everyone is who is here. The slices are the caller's.
func (h *Hub) everyone() Presence {
	named := h.byName[:min(len(h.byName), MaxNamed)]
	p := Presence{Here: slices.Clone(named), More: len(h.byName) - len(named)}
	for id := range h.typists {
		p.Typing = append(p.Typing, User{id, h.people[id].name})
	}
	slices.SortFunc(p.Typing, byName)
	p.Typing = p.Typing[:min(len(p.Typing), MaxNamed)]
	return p
}

// enter counts a subscriber in.
func (h *Hub) enter(u User) {
	who := h.people[u.ID]
	if who == nil {
		who = &person{name: u.Name}
		h.people[u.ID] = who
		at, _ := slices.BinarySearchFunc(h.byName, u, byName)
		h.byName = slices.Insert(h.byName, at, u)
	}
	who.leaves = time.Time{}
	who.tabs++
	h.stir()
}

// leave counts a subscriber out.
func (h *Hub) leave(u User) {
	who := h.people[u.ID]
	who.tabs--
	if who.tabs == 0 {
		who.leaves = time.Now().Add(graceTime)
		h.flusher.mark(h)
	}
}

func (h *Hub) typing(userID int64) {
	who := h.people[userID]
	if who == nil {
		return
	}
	if who.typing.IsZero() {
		h.typists[userID] = struct{}{}
		h.stir()
	}
	who.typing = time.Now().Add(typingTime)
}

func (h *Hub) stopped(userID int64) {
	who := h.people[userID]
	if who == nil || who.typing.IsZero() {
		return
	}
	who.typing = time.Time{}
	delete(h.typists, userID)
	h.stir()
}

// stir notes that somebody may have to be told of another presence.
func (h *Hub) stir() {
	h.stirred = true
	h.flusher.mark(h)
}

// expire ends what has had its time, and reports whether there is more to end.
func (h *Hub) expire(now time.Time) (more bool) {
	for id, who := range h.people {
		switch {
		case who.tabs == 0 && !now.Before(who.leaves):
			at, _ := slices.BinarySearchFunc(h.byName, User{id, who.name}, byName)
			h.byName = slices.Delete(h.byName, at, at+1)
			delete(h.people, id)
			delete(h.typists, id)
			h.stirred = true
			continue
		case !who.typing.IsZero() && !now.Before(who.typing):
			who.typing = time.Time{}
			delete(h.typists, id)
			h.stirred = true
		}
		more = more || who.tabs == 0 || !who.typing.IsZero()
	}
	return more
}

// flush tells every subscriber of the presence, unless it knows. It reports
// whether there is more to tell when time has passed. Only the flusher calls it.
func (h *Hub) flush() (again bool) {
	h.mu.Lock()
	if h.evicted {
		h.mu.Unlock()
		return false
	}
	now := time.Now()
	again = h.expire(now)
	if !h.stirred {
		h.mu.Unlock()
		return again
	}
	h.stirred = false
	everyone := h.everyone()
	subscribers := make([]*Subscriber, 0, len(h.subscribers))
	for s := range h.subscribers {
		if s.patient && now.Before(h.flusher.settled) {
			h.stirred, again = true, true
			continue
		}
		subscribers = append(subscribers, s)
	}
	h.mu.Unlock()

	// Without the lock: nobody waits for the rendering.
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
	return again
}

// greet prepares a visitor's subscriber: what it is told of the presence first
// if that is not what it has seen.
func (h *Hub) greet(v Visitor) *Subscriber {
	s := NewSubscriber()
	s.hub, s.user, s.told = h, v.User, v.Seen
	if v.Seen == "" {
		return s
	}
	p := h.presence(v.User)
	switch state := p.State(); {
	case state == v.Seen:
	case time.Now().Before(h.flusher.settled):
		s.patient = true
	default:
		s.told = state
		s.show(h.source.Presence(p))
	}
	return s
}

// flusher tells of presence, for all hubs of a registry.
type flusher struct {
	// settled is when those who were on an earlier node have come to this one.
	// Till then whoever brings a presence along keeps it: it will be true again
	// soon.
	settled time.Time

	wake chan struct{} // has room for one: there are dirty hubs

	mu    sync.Mutex
	dirty map[*Hub]struct{}
}

func newFlusher() *flusher {
	return &flusher{settled: time.Now().Add(graceTime), wake: make(chan struct{}, 1), dirty: map[*Hub]struct{}{}}
}

// mark has a hub flushed soon. It may be called under the hub's lock.
func (f *flusher) mark(h *Hub) {
	f.mu.Lock()
	f.dirty[h] = struct{}{}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run flushes dirty hubs until ctx ends. It sleeps while there are none.
func (f *flusher) run(ctx context.Context) {
	for {
		select {
		case <-f.wake:
		case <-ctx.Done():
			return
		}
		f.mu.Lock()
		dirty := f.dirty
		f.dirty = map[*Hub]struct{}{}
		f.mu.Unlock()
		for h := range dirty {
			if h.flush() {
				f.mark(h)
			}
		}
		select {
		case <-time.After(flushTime):
		case <-ctx.Done():
			return
		}
	}
}
