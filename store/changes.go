package store

// Change is one thing that a commit has changed: a MessageChanged, a
// ChannelChanged, a MembersChanged, a PositionChanged or a UserChanged.
type Change interface{ change() }

// MessageChanged says that a message was posted, in which case its ID is its
// Revision, or changed later. Message is as it is after that change.
type MessageChanged struct{ Message Message }

// ChannelChanged says that a channel was made, or that its settings have
// changed.
type ChannelChanged struct{ Channel Channel }

// MembersChanged says that a user has become a member of a channel, or is none
// any more.
type MembersChanged struct {
	ChannelID, UserID int64
	Member            bool
}

// PositionChanged says that a user has visited or read a channel, or marked
// something in it as unread.
type PositionChanged struct{ UserID, ChannelID int64 }

// UserChanged says that a user's account has changed, or that a session of
// theirs has ended.
type UserChanged struct{ UserID int64 }

func (MessageChanged) change()  {}
func (ChannelChanged) change()  {}
func (MembersChanged) change()  {}
func (PositionChanged) change() {}
func (UserChanged) change()     {}

// Listener receives the changes of each commit: after it is durable, before the
// writes that made them return, and in the order of the revisions in each
// channel. It runs in the writer's goroutine, so it must not wait for anything.
// What it reads from the store is no older than the changes, except that a
// Channel has its new Revision and LastPost only after the listener has
// returned.
type Listener func([]Change)
