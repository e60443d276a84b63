package hub

import (
	"cmp"
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"time"
)

const (
	// graceTime is how long a user is still present after the last of their
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

// MaxNamed is how many people a presence names. The others are counted, so that
// its frame does not grow with their number.
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

// seenBy is this presence as one user sees it: nobody is shown that they type
// themselves.
func (p Presence) seenBy(viewer User) Presence {
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
	Seen string // the state of the presence that their page shows; "" where it shows none, and then they are sent none
}

// Presence returns who is in a channel, for the page of a viewer, who is about
// to be here too. It reads nothing from the source.
func (r *Registry) Presence(channelID int64, viewer User) Presence {
	return r.roster.presence(channelID, viewer)
}

// Typing says that a user types. It is forgotten after five seconds, unless
// said again, and ignored where the user is not in the channel, on this node or
// another.
func (r *Registry) Typing(channelID int64, user User) {
	r.roster.typing(channelID, user.ID)
}

// newSubscriber returns a visitor's subscriber. Queued for it is the presence, if
// that is not what the page shows.
func (h *Hub) newSubscriber(v Visitor) *Subscriber {
	s := &Subscriber{hub: h, budget: h.budget, user: v.User, presenceState: v.Seen}
	if v.Seen == "" {
		return s
	}
	p := h.roster.presence(h.channelID, v.User)
	switch state := p.State(); {
	case state == v.Seen:
	case time.Now().Before(h.roster.settledAt):
		s.keepsPresence = true
	default:
		s.presenceState = state
		h.show(h.source.presence(p), s)
	}
	return s
}

// show queues a frame of presence for a subscriber.
func (h *Hub) show(f *Frame, s *Subscriber) {
	if !f.isEmpty() {
		h.budget.hold(f, 1)
		s.show(f)
	}
}

// flush sends presence, to subscribers and to other nodes, until ctx ends. It
// sleeps while nothing has changed and nobody's time will be over.
func (r *Registry) flush(ctx context.Context) {
	var due <-chan time.Time
	for {
		select {
		case <-r.roster.wake:
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
	changes := r.roster.takeChanges(now)
	// Without the lock: nobody waits for other nodes or for the rendering.
	if len(changes.attendances) > 0 {
		r.notifyNodes(changes.notify, changes.attendances)
	}
	for channelID := range changes.channels {
		if h := r.find(channelID); h != nil {
			h.flush(now)
		}
	}
	r.budget.enforce()
	return changes.next
}

// notifyNodes notifies other nodes. A panic there must not end the process.
func (r *Registry) notifyNodes(notify func([]Attendance), attendances []Attendance) {
	err := func() (err error) {
		defer recoverTo(&err)
		notify(attendances)
		return nil
	}()
	if err != nil {
		r.log.Error("other nodes could not be notified of who is present", "error", err)
	}
}

// flush sends the presence to every subscriber whose page does not show it. Only
// the flusher calls it.
func (h *Hub) flush(now time.Time) {
	everyone, subscribers := h.presenceTargets(now)
	common := everyone.State()
	frames := map[string]*Frame{}
	for _, s := range subscribers {
		p, state := everyone, common
		if slices.ContainsFunc(everyone.Typing, s.user.is) {
			p = everyone.seenBy(s.user)
			state = p.State()
		}
		if s.presenceState == "" || s.presenceState == state {
			continue
		}
		frame, ok := frames[state]
		if !ok {
			frame = h.source.presence(p)
			frames[state] = frame
		}
		s.presenceState = state
		h.show(frame, s)
	}
}

// presenceTargets returns who is here, and the subscribers that may have to be
// sent that.
func (h *Hub) presenceTargets(now time.Time) (Presence, []*Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	attendees := h.roster.byChannel[h.channelID]
	if attendees == nil {
		return Presence{}, nil // nor are there subscribers
	}
	subscribers := make([]*Subscriber, 0, len(h.subscribers))
	for s := range h.subscribers {
		if s.keepsPresence && now.Before(h.roster.settledAt) {
			h.roster.markDirty(h.channelID)
			continue
		}
		subscribers = append(subscribers, s)
	}
	return attendees.presence(), subscribers
}
