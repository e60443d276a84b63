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
		Dir:  "ltr",

		Words: Words{
			GroupMark:   ",",
			DateTimeGap: ", ",
			FormatDate:  func(t time.Time) string { return t.Format("2 January 2006") },
			FormatDay:   func(t time.Time) string { return t.Format("Monday, 2 January 2006") },

			SkipToContent: "Skip to content",
			SkipToWrite:   "Skip to the message box",
			SkipToList:    "Skip to the messages",
			WelcomeBefore: "Welcome, ",
			WelcomeAfter:  ".",
			Menu:          "Channels",
			Account:       "Account menu",
			More:          "More",
			LogOut:        "Sign out",
			Language:      "Language",
			Notices:       "Notices",
			Dismiss:       "Dismiss",
			Info:          "Info",
			Success:       "Success",
			Warning:       "Warning",
			Danger:        "Error",

			SignInTitle:      "Sign in",
			Tagline:          "Team chat on your own network",
			EnterDisplayName: "What should people call you?",
			DisplayName:      "Display name",
			DisplayNameHint:  func(int) string { return "Shown beside your messages." },
			HavePassword:     "Password, if your name has one",
			Password:         "Password",
			PasswordHint: func(min int) string {
				return "At least " + strconv.Itoa(min) + " characters."
			},
			PasswordHere:    "New here? Choose one to use your name in any browser. Without it, the name stays with this browser.",
			SignIn:          "Sign in",
			UserCreated:     func(name string) string { return "Welcome, " + name + "." },
			NotLoggedIn:     "Sign in to continue.",
			LoggedOut:       "You’re signed out.",
			AlreadySignedIn: func(name string) string { return "You’re already signed in as " + name + "." },
			NameEmpty:       "Enter a name.",
			NameTooLong: func(max int) string {
				return "That name is too long: use " + strconv.Itoa(max) + " characters at most."
			},
			NameForbidden: "That name has characters that cannot be used, such as control or invisible ones.",
			NameTaken: func(name string) string {
				return name + " is in use, or looks too much like a name that is. Choose another."
			},
			NameNeedsPassword: func(name string) string {
				return name + " is in use. If that’s you, enter your password."
			},
			UseAnotherName: "Use another name",
			PasswordWrong:  "That password is wrong. Try again.",
			PasswordTooShort: func(min int) string {
				return "Password is too short: use at least " + strconv.Itoa(min) + " characters."
			},
			PasswordTooLong: func(max int) string {
				return "Password is too long: use " + strconv.Itoa(max) + " characters at most."
			},

			UserTitle:          "Your account",
			UserSince:          func(date string) string { return "Joined " + date },
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
			LogOutTitle:        "Sign out?",
			LogOutWarning: func(name string) string {
				return "The name " + name + " has no password. Once you sign out, nobody can get it back, not even you."
			},
			LogOutSetPasswordTitle: "Keep the name",
			SetPasswordAndLogOut:   "Set password and sign out",
			LogOutAnyway:           func(name string) string { return "Sign out and lose “" + name + "”" },
			LogOutAnywayHint:       func(name string) string { return "You give up the name " + name + " for good." },
			StaySignedIn:           "Stay signed in",

			Channels:      "Channels",
			LatestChannel: "The latest channel you accessed",
			AllChannels:   "All channels",
			NoChannels:    "There are no channels yet.",
			CreatedAt:     func(when string) string { return "Created " + when },
			CreateTitle:   "Create a channel",
			ChannelName:   "Channel name",
			ChannelNameHint: func(max int) string {
				return "Up to " + strconv.Itoa(max) + " characters, in any script."
			},
			Create:           "Create channel",
			ChannelCreated:   func(name string) string { return "#" + name + " created." },
			ChannelNameEmpty: "Enter a channel name.",
			ChannelNameTooLong: func(max int) string {
				return "That name is too long: use " + strconv.Itoa(max) + " characters at most."
			},
			ChannelNameForbidden: "That name has characters that cannot be used, such as control or invisible ones.",
			ChannelExists:        func(name string) string { return "#" + name + " already exists." },
			MissingChannelTitle:  "No such channel",
			MissingChannel: func(name string) string {
				return "There is no channel “" + name + "”. It may have been renamed, or the link is wrong."
			},
			CreateMissing:    func(name string) string { return "Create #" + name },
			ToChannels:       "See all channels",
			UnreadAfterCount: " unread",

			NowInChannel:    func(name string) string { return "You are now in channel [" + name + "]." },
			Messages:        func(channel string) string { return "Messages in " + channel },
			TimesIn:         func(zone string) string { return "Times are in " + zone + "." },
			NoMessages:      "No messages yet. Write the first one.",
			EarlierMessages: "Earlier messages",
			NewerMessages:   "Newer messages",
			NewestMessages:  "Newest messages",
			NewMessages:     "New messages",
			Message:         func(channel string) string { return "Message #" + channel },
			Send:            "Send",
			SendKeys:        "Shift+Enter to send",
			SendKeysEnter:   "Enter to send, Shift+Enter for a new line",
			EnterSends:      "Enter sends",
			EnterSendsHint:  "Otherwise Enter starts a new line and Shift+Enter sends. Ctrl+Enter always sends.",
			Delete:          "Delete message",
			MessageDeleted:  "Message deleted.",
			MarkUnread:      "Mark unread from here",
			MarkUnreadMode:  "Mark unread…",
			MarkUnreadDone:  "Back to the channel",
			MarkedUnread:    func(channel string) string { return "Marked unread in #" + channel + "." },
			NewLine:         "New",
			FirstNewMessage: "To the first new message",
			HereNow:         "Here now",
			HereAfterCount:  " here now",
			TypingOne:       " is typing…",
			TypingAnd:       " and ",
			TypingTwo:       " are typing…",
			TypingSeveral:   "Several people are typing…",
			MessageEmpty:    "Write something first.",
			MessageTooLong: func(excess, max int) string {
				return plural(excess, ",", "character", "characters") + " too long (limit " + number(max, ",") + ")."
			},
			KeyInvalid:        "This page is out of date. Reload it and send again.",
			StateLive:         "Connected",
			StateReconnecting: "Reconnecting…",
			StateOffline:      func(since string) string { return "Offline since " + since },
			Pending:           "Waiting for the connection",
			PendingFailed:     "Not sent",
			Retry:             "Retry",
			EditAgain:         "Edit",

			BadRequest:       Failure{"Bad request", "Something in the request could not be understood. Go back and try again."},
			SignInFirst:      Failure{"Signed out", "Sign in to continue."},
			NotYours:         Failure{"Not allowed", "You can only delete your own messages."},
			CrossOrigin:      Failure{"Not allowed", "The request came from another site and was refused. Reload the page and try again."},
			NotFound:         Failure{"Not found", "There is nothing here. It may have been deleted, or the address is wrong."},
			MethodNotAllowed: Failure{"Not allowed", "This page can’t be opened that way."},
			Timeout:          Failure{"Timed out", "The request took too long. Try again in a moment."},
			TooLarge:         Failure{"Too large", "That’s too large to send."},
			TooManyPosts:     Failure{"Slow down", "You are sending too fast. Wait a moment, then try again."},
			TooManySignIns:   Failure{"Slow down", "Too many attempts to sign in from here. Wait a minute, then try again."},
			ServerError:      Failure{"Something went wrong", "That didn’t work. Try again; if it keeps happening, tell your administrator."},
			Unavailable:      Failure{"Back soon", "Hubbub is not available right now. Try again in a moment."},
			Kept:             "What you wrote",
			BackHome:         "Back to Hubbub",
		},
	}
}
