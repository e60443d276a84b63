package live

import (
	"context"
	"slices"

	"hubbub/bus"
	"hubbub/hub"
	"hubbub/store"
)

// This file is the only place that sends on what has changed: to hubs, to the
// counts of unread messages, to connections and to other nodes.

// publish is the store's listener. It runs in the writer's goroutine, after the
// commit, and waits for nothing.
func (s *Server) publish(changes []store.Change) {
	notice := bus.Notice{Channels: map[int64]int64{}}
	byChannel := map[int64][]hub.Change{}
	for _, change := range changes {
		switch c := change.(type) {
		case store.MessageChanged:
			m := c.Message
			notice.Channels[m.ChannelID] = max(notice.Channels[m.ChannelID], m.Revision)
			row, err := s.change(context.Background(), m)
			if err != nil {
				// The hub lacks this revision then, and reads it from the store.
				s.Log.Error("a row could not be rendered", "channel", m.ChannelID, "message", m.ID, "error", err)
				continue
			}
			byChannel[m.ChannelID] = append(byChannel[m.ChannelID], row)
		case store.ChannelChanged:
			notice.Channels[c.Channel.ID] = max(notice.Channels[c.Channel.ID], c.Channel.Revision)
			s.news.channelMade()
		case store.MembersChanged:
			notice.Users = append(notice.Users, c.UserID)
			notice.Readers = append(notice.Readers, c.UserID)
			s.access.addOne(c.UserID)
			s.news.userChanged(c.UserID)
		case store.PositionChanged:
			notice.Readers = append(notice.Readers, c.UserID)
			s.news.userChanged(c.UserID)
		case store.UserChanged:
			notice.Users = append(notice.Users, c.UserID)
			s.access.addOne(c.UserID)
		}
	}
	for channelID, rows := range byChannel {
		s.hubs.Publish(channelID, rows)
		s.news.channelChanged(channelID)
	}
	s.notify(notice)
}

// Reached tells the hub of a room which revision it has come to, for a page that
// has read so: another node may not have been able to say it.
func (s *Server) Reached(room store.Channel) { s.hubs.SetRevision(room.ID, room.Revision) }

// Typing says that a user types in a room. Others forget it after five seconds,
// unless it is said again.
func (s *Server) Typing(room store.Channel, user *store.User) {
	s.hubs.Typing(room.ID, hubUser(user))
	s.notify(bus.Notice{Moments: []bus.Moment{{Kind: bus.Typing, Channel: room.ID, User: user.ID}}})
}

// Reading says whether somebody looks at the newest messages in a tab. What is
// read in one tab is unread in none of the user's.
func (s *Server) Reading(userID int64, tab string, reading bool) {
	if !s.connections.setReading(userID, tab, reading) {
		s.notify(bus.Notice{Moments: []bus.Moment{{Kind: bus.Reading, User: userID, Name: tab, On: reading}}})
	}
	s.news.userChanged(userID)
}

// LeftUnread says that a user leaves a room unread, although it may be open.
func (s *Server) LeftUnread(userID int64, room store.Channel) {
	s.connections.stopReading(userID, room.ID)
	s.notify(bus.Notice{Moments: []bus.Moment{{Kind: bus.Left, User: userID, Channel: room.ID}}})
}

// Probed says that the probe of a document was asked for: see probes.
func (s *Server) Probed(name string) {
	if !s.probes.arrive(name) && len(name) == len(newProbe()) {
		s.notify(bus.Notice{Moments: []bus.Moment{{Kind: bus.Probed, Name: name}}})
	}
}

// publishAttendance tells other nodes who has come to rooms here, and who has
// gone.
func (s *Server) publishAttendance(all []hub.Attendance) {
	var notice bus.Notice
	for _, a := range all {
		p := bus.Presence{Channel: a.ChannelID, Gone: slices.Clone(a.Gone), Whole: a.Whole}
		for _, u := range a.Here {
			p.Here = append(p.Here, bus.User{ID: u.ID, Name: u.Name})
		}
		notice.Presence = append(notice.Presence, p)
	}
	s.notify(notice)
}

// notify tells the other nodes, if there are any.
func (s *Server) notify(n bus.Notice) {
	if s.Bus != nil {
		s.Bus.Publish(n)
	}
}
