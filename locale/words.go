package locale

import "time"

// Words is every word and sentence that people read. What takes a value is a
// function: where the value stands and what it does to the words around it
// is the language's own matter.
type Words struct {
	// How dates and numbers are written. Use the methods of Locale.
	GroupMark   string // between groups of three digits
	DateTimeGap string // between a date and a time of day
	FormatDate  func(time.Time) string
	FormatDay   func(time.Time) string

	// The frame of every page.
	SkipToContent string
	SkipToWrite   string // to the composer, on a channel's page
	SkipToList    string // to the messages there
	WelcomeBefore string // "Welcome, X." in two parts, for the name between them is set apart
	WelcomeAfter  string
	Menu          string // opens the side on a narrow screen
	Account       string // opens the menu with the viewer's name
	More          string // opens the menu of a channel
	LogOut        string
	Language      string // the name of the switch
	Notices       string // the name of the region of flash messages
	Dismiss       string // a flash message
	Info          string // the four tones, for those who see no colour
	Success       string
	Warning       string
	Danger        string

	// Signing in.
	SignInTitle       string
	Tagline           string
	EnterDisplayName  string // the title of the form
	DisplayName       string
	DisplayNameHint   func(max int) string
	HavePassword      string // the password field of those who need not have one
	Password          string
	PasswordHint      func(min int) string
	PasswordHere      string // why a password is of use at sign-in
	SignIn            string
	UserCreated       func(name string) string
	NotLoggedIn       string
	LoggedOut         string
	AlreadySignedIn   func(name string) string
	NameEmpty         string
	NameTooLong       func(max int) string
	NameForbidden     string
	NameTaken         func(name string) string
	NameNeedsPassword func(name string) string // in use, and a password gets in
	UseAnotherName    string                   // leads back from there
	PasswordWrong     string
	PasswordTooShort  func(min int) string
	PasswordTooLong   func(max int) string

	// The viewer's own page and logging out.
	UserTitle              string
	UserSince              func(date string) string
	PasswordTitle          string
	NoPasswordYet          string
	HasPassword            string
	CurrentPassword        string
	NewPassword            string
	SetPassword            string
	ChangePassword         string
	RemovePassword         string
	RemovePasswordHint     string
	PasswordSet            string
	PasswordChanged        string
	PasswordRemoved        string
	LogOutTitle            string
	LogOutWarning          func(name string) string
	SetPasswordAndLogOut   string
	LogOutAnyway           func(name string) string
	LogOutAnywayHint       func(name string) string
	StaySignedIn           string
	LogOutSetPasswordTitle string

	// Channels.
	Channels             string
	LatestChannel        string
	AllChannels          string
	NoChannels           string
	CreatedAt            func(when string) string
	CreateTitle          string
	ChannelName          string
	ChannelNameHint      func(max int) string
	Create               string
	ChannelCreated       func(name string) string
	ChannelNameEmpty     string
	ChannelNameTooLong   func(max int) string
	ChannelNameForbidden string
	ChannelExists        func(name string) string
	MissingChannelTitle  string
	MissingChannel       func(name string) string
	CreateMissing        func(name string) string
	ToChannels           string
	UnreadAfterCount     string // follows a count, for those who only hear it

	// Messages.
	NowInChannel    func(name string) string
	Messages        func(channel string) string // the name of the list
	TimesIn         func(zone string) string    // stands where no script makes times local
	NoMessages      string
	EarlierMessages string
	NewerMessages   string
	NewestMessages  string // leads from earlier ones back to the live page
	NewMessages     string // some have come while the viewer read further up
	Message         func(channel string) string
	Send            string
	SendKeys        string // what sends, below the composer
	SendKeysEnter   string // the same when Enter sends
	EnterSends      string // the switch
	EnterSendsHint  string // what Enter does otherwise
	Delete          string
	MessageDeleted  string
	MarkUnread      string // from this message on
	MarkUnreadMode  string // leads to the page with a button at each message
	MarkUnreadDone  string // leads back
	MarkedUnread    func(channel string) string
	NewLine         string // stands before the first new message
	FirstNewMessage string // the same, where it is further up than the page
	HereNow         string // stands over the names of those in the channel
	HereAfterCount  string // follows their number, for those who only hear it
	TypingOne       string // follows the name of the one who types
	TypingAnd       string // stands between the names of two
	TypingTwo       string // follows them
	TypingSeveral   string // stands for more than two
	MessageEmpty    string
	MessageTooLong  func(excess, max int) string
	KeyInvalid      string

	// How live a channel's page is.
	StateLive         string
	StateReconnecting string
	StateOffline      func(since string) string
	Pending           string // of a message that waits for the connection
	PendingFailed     string // of a message that was refused
	Retry             string
	EditAgain         string // takes the text of a refused message back into the composer

	// Failures, as pages and as flash messages.
	BadRequest       Failure // 400
	SignInFirst      Failure // 401
	NotYours         Failure // 403: somebody else's message
	CrossOrigin      Failure // 403: from a page of another site
	NotFound         Failure // 404
	MethodNotAllowed Failure // 405
	Timeout          Failure // 408 and 504
	TooLarge         Failure // 413
	TooManyPosts     Failure // 429
	TooManySignIns   Failure // 429
	ServerError      Failure // 500
	Unavailable      Failure // 503
	Kept             string  // names the text that could not be taken
	BackHome         string  // leads from a failure to the start
}
