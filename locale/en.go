package locale

import (
	"strconv"
	"time"

	"golang.org/x/text/language"
)

// english is the default language.
func english() *Locale {
	return &Locale{
		Tag:  language.English,
		Lang: "en",
		Name: "English",

		Words: Words{
			GroupMark:   ",",
			DateTimeGap: ", ",
			FormatDate:  func(t time.Time) string { return t.Format("2 January 2006") },
			FormatDay:   func(t time.Time) string { return t.Format("Monday, 2 January 2006") },

			SkipToContent: "Skip to content",
			WelcomeBefore: "Welcome, ",
			WelcomeAfter:  ".",
			LogOut:        "Log out",
			Language:      "Language",
			Notices:       "Notices",
			Dismiss:       "Dismiss",
			Info:          "Info",
			Success:       "Success",
			Warning:       "Warning",
			Danger:        "Error",

			SignInTitle:      "Sign in",
			Tagline:          "Team chat on your own network.",
			EnterDisplayName: "Enter your display name",
			DisplayName:      "Display name",
			DisplayNameHint: func(max int) string {
				return "1 to " + strconv.Itoa(max) + " characters, in any script. Others see it beside your messages."
			},
			HavePassword: "Password (optional)",
			Password:     "Password",
			PasswordHint: func(min int) string {
				return "At least " + strconv.Itoa(min) + " characters."
			},
			PasswordHere:    "With a password you can use your name in any browser. Without one, the name belongs to this browser.",
			SignIn:          "Sign in",
			Cancel:          "Cancel",
			UserCreated:     func(name string) string { return "New username " + name + " created." },
			NotLoggedIn:     "You are not logged in.",
			LoggedOut:       "You have logged out.",
			AlreadySignedIn: func(name string) string { return "You are already signed in as " + name + "." },
			NameEmpty:       "Display name cannot be empty.",
			NameTooLong: func(max int) string {
				return "Display name is too long: use " + strconv.Itoa(max) + " characters at most."
			},
			NameForbidden: "Display name contains characters that cannot be used, such as control or invisible ones.",
			NameTaken: func(name string) string {
				return "The name " + name + " is taken, or looks too much like one that is. Choose another."
			},
			NameNeedsPassword: func(name string) string {
				return "The name " + name + " is taken. If it is yours, enter its password."
			},
			PasswordWrong: "That password is wrong.",
			PasswordTooShort: func(min int) string {
				return "Password is too short: use at least " + strconv.Itoa(min) + " characters."
			},
			PasswordTooLong: func(max int) string {
				return "Password is too long: use " + strconv.Itoa(max) + " characters at most."
			},

			UserTitle:          "Your account",
			UserSince:          func(date string) string { return "Created on " + date + "." },
			PasswordTitle:      "Password",
			NoPasswordYet:      "Your name has no password. It belongs to the browsers that are signed in with it; set a password to sign in from anywhere.",
			HasPassword:        "Your name has a password. Use it to sign in from any browser. Changing or removing it signs you out everywhere else.",
			CurrentPassword:    "Current password",
			NewPassword:        "New password",
			SetPassword:        "Set password",
			ChangePassword:     "Change password",
			RemovePassword:     "Remove password",
			RemovePasswordHint: "Without a password, only this browser can use your name.",
			PasswordSet:        "Your password has been set.",
			PasswordChanged:    "Your password has been changed.",
			PasswordRemoved:    "Your password has been removed.",
			LogOutTitle:        "Log out?",
			LogOutWarning: func(name string) string {
				return "The name " + name + " has no password. Once you log out, nobody can get it back, not even you."
			},
			LogOutSetPasswordTitle: "Keep the name",
			SetPasswordAndLogOut:   "Set password and log out",
			LogOutAnyway:           "Log out anyway",
			LogOutAnywayHint:       func(name string) string { return "Give up the name " + name + " for good." },
			StaySignedIn:           "Stay signed in",

			Channels:      "Channels",
			LatestChannel: "The latest channel you accessed",
			AllChannels:   "All channels",
			NoChannels:    "There are no channels yet.",
			CreatedAt:     func(when string) string { return "Created " + when },
			CreateTitle:   "Create a channel",
			ChannelName:   "Channel name",
			ChannelNameHint: func(max int) string {
				return "1 to " + strconv.Itoa(max) + " characters, in any script."
			},
			Create:           "Create channel",
			ChannelCreated:   func(name string) string { return "The new channel " + name + " has been created." },
			ChannelNameEmpty: "Channel name cannot be empty.",
			ChannelNameTooLong: func(max int) string {
				return "Channel name is too long: use " + strconv.Itoa(max) + " characters at most."
			},
			ChannelNameForbidden: "Channel name contains characters that cannot be used, such as control or invisible ones.",
			ChannelExists:        func(name string) string { return "Channel " + name + " already exists." },
			MissingChannelTitle:  "No such channel",
			MissingChannel:       func(name string) string { return "There is no channel " + name + "." },
			CreateMissing:        func(name string) string { return "Create channel " + name },
			ToChannels:           "See all channels",
			UnreadAfterCount:     " unread",

			NowInChannel:    func(name string) string { return "You are now in channel [" + name + "]." },
			Messages:        func(channel string) string { return "Messages in " + channel },
			TimesIn:         func(zone string) string { return "Times are in " + zone + "." },
			NoMessages:      "No messages yet. Write the first one.",
			EarlierMessages: "Earlier messages",
			NewerMessages:   "Newer messages",
			NewestMessages:  "Newest messages",
			NewMessages:     "New messages",
			Message:         func(channel string) string { return "Message to " + channel },
			Send:            "Send",
			SendKeys:        "Shift+Enter",
			SendKeysEnter:   "Enter",
			EnterSends:      "Enter sends",
			Delete:          "Delete message",
			MessageDeleted:  "The message has been deleted.",
			MarkUnread:      "Mark unread from here",
			MarkUnreadMode:  "Mark unread…",
			MarkUnreadDone:  "Back to the channel",
			MarkedUnread:    func(channel string) string { return "Marked as unread in " + channel + "." },
			NewLine:         "New",
			FirstNewMessage: "To the first new message",
			HereNow:         "Here now:",
			TypingNow:       "Typing: ",
			MessageEmpty:    "Message cannot be empty.",
			MessageTooLong: func(length, max string) string {
				return "Message is too long: " + length + " characters, and " + max + " is the most."
			},
			KeyInvalid:        "This form is not valid any more. Reload the page and send again.",
			StateConnecting:   "Connecting…",
			StateLive:         "Live",
			StateReconnecting: "Reconnecting…",
			StateOffline:      func(since string) string { return "Offline since " + since },
			Sending:           "Sending…",
			Pending:           "Not sent yet",
			PendingFailed:     "Not sent",
			Retry:             "Retry",
			EditAgain:         "Edit",
			Undone:            "That did not come through. Please try again.",

			BadRequest:               Failure{"Bad request", "Something in the request could not be understood. Go back and try again."},
			SignInFirst:              Failure{"Signed out", "You are not logged in. Sign in, then try again."},
			NotYours:                 Failure{"Not allowed", "This message is not yours to delete."},
			CrossOrigin:              Failure{"Not allowed", "The request came from another site and was refused. Reload the page and try again."},
			NotFound:                 Failure{"Not found", "There is nothing here. It may have been deleted, or the address is wrong."},
			MethodNotAllowed:         Failure{"Not allowed", "This address does not answer such requests."},
			Timeout:                  Failure{"Too slow", "The request took too long. Try again in a moment."},
			TooLarge:                 Failure{"Too large", "The request is larger than Hubbub takes."},
			TooManyPosts:             Failure{"Slow down", "You are sending too fast. Wait a moment, then try again."},
			TooManySignIns:           Failure{"Slow down", "Too many attempts to sign in from here. Wait a minute, then try again."},
			ServerError:              Failure{"Something went wrong", "Hubbub could not do this. Try again; if it stays so, tell your administrator."},
			Unavailable:              Failure{"Back soon", "Hubbub is not available right now. Try again in a moment."},
			KeyUsed:                  "This page has already sent something else. Your text is kept: send it again.",
			PasswordChangedMeanwhile: Failure{"Changed meanwhile", "The password has just been changed somewhere else. Reload the page and try again."},
			Kept:                     "What you wrote",
			BackHome:                 "Back to Hubbub",
		},
	}
}
