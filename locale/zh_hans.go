package locale

import (
	"strconv"
	"time"

	"golang.org/x/text/language"
)

// simplifiedChinese is Chinese as written on the mainland and in Singapore.
func simplifiedChinese() *Locale {
	return &Locale{
		Tag:  language.SimplifiedChinese,
		Lang: "zh-Hans",
		Name: "简体中文",
		Dir:  "ltr",

		Words: Words{
			GroupMark:   ",",
			DateTimeGap: " ",
			FormatDate:  func(t time.Time) string { return t.Format("2006年1月2日") },
			FormatDay: func(t time.Time) string {
				weekdays := [...]string{"日", "一", "二", "三", "四", "五", "六"}
				return t.Format("2006年1月2日") + " 星期" + weekdays[t.Weekday()]
			},

			SkipToContent: "跳到主要内容",
			SkipToWrite:   "跳到输入框",
			SkipToList:    "跳到消息列表",
			WelcomeBefore: "欢迎，",
			WelcomeAfter:  "。",
			Menu:          "频道",
			Account:       "账号菜单",
			More:          "更多",
			LogOut:        "退出登录",
			Language:      "语言",
			Notices:       "系统提示",
			Dismiss:       "关闭",
			Info:          "提示",
			Success:       "成功",
			Warning:       "注意",
			Danger:        "错误",

			SignInTitle:      "登录",
			Tagline:          "内网里的团队聊天",
			EnterDisplayName: "怎么称呼你？",
			DisplayName:      "名字",
			DisplayNameHint: func(max int) string {
				return "会显示在你的消息旁，最多 " + strconv.Itoa(max) + " 个字符。"
			},
			HavePassword:    "密码（没有可不填）",
			Password:        "密码",
			PasswordHint:    func(min int) string { return "至少 " + strconv.Itoa(min) + " 位。" },
			PasswordHere:    "设了密码，换台设备也能用这个名字；不设的话，只有这个浏览器能用。",
			SignIn:          "登录",
			UserCreated:     func(name string) string { return "欢迎，" + name + "！" },
			NotLoggedIn:     "请先登录。",
			LoggedOut:       "已退出登录。",
			AlreadySignedIn: func(name string) string { return "你已登录，当前账号是“" + name + "”。" },
			NameEmpty:       "请输入名字。",
			NameTooLong:     func(max int) string { return "名字太长，最多 " + strconv.Itoa(max) + " 个字符。" },
			NameForbidden:   "名字里有不支持的字符（如不可见字符），请修改。",
			NameTaken: func(name string) string {
				return "“" + name + "”已有人使用，或与别人的名字太像，请换一个。"
			},
			NameNeedsPassword: func(name string) string {
				return "“" + name + "”已有人使用。如果就是你，请输入密码。"
			},
			UseAnotherName:   "换一个名字",
			PasswordWrong:    "密码错误，请重试。",
			PasswordTooShort: func(min int) string { return "密码太短，至少 " + strconv.Itoa(min) + " 位。" },
			PasswordTooLong:  func(max int) string { return "密码太长，最多 " + strconv.Itoa(max) + " 个字符。" },

			UserTitle:          "我的账号",
			UserSince:          func(date string) string { return date + "加入" },
			PasswordTitle:      "密码",
			NoPasswordYet:      "你还没有设置密码，目前只能在已登录的浏览器里使用。设置后，其他设备也能登录。",
			HasPassword:        "已设置密码，其他设备也能登录。修改或取消密码后，其他设备会自动退出。",
			CurrentPassword:    "当前密码",
			NewPassword:        "新密码",
			SetPassword:        "设置密码",
			ChangePassword:     "修改密码",
			RemovePassword:     "取消密码",
			RemovePasswordHint: "取消后，只有当前浏览器能使用这个账号。",
			PasswordSet:        "密码已设置。",
			PasswordChanged:    "密码已修改。",
			PasswordRemoved:    "密码已取消。",
			LogOutTitle:        "确定退出登录？",
			LogOutWarning: func(name string) string {
				return "“" + name + "”还没有设置密码。退出后账号无法找回，你自己也登不回来。"
			},
			LogOutSetPasswordTitle: "保留账号",
			SetPasswordAndLogOut:   "设置密码并退出",
			LogOutAnyway:           func(string) string { return "仍要退出" },
			LogOutAnywayHint:       func(name string) string { return "账号“" + name + "”将永久失效。" },
			StaySignedIn:           "不退出",

			Channels:             "频道",
			LatestChannel:        "最近访问",
			AllChannels:          "全部频道",
			NoChannels:           "还没有频道。",
			CreatedAt:            func(when string) string { return "创建于 " + when },
			CreateTitle:          "新建频道",
			ChannelName:          "频道名称",
			ChannelNameHint:      func(max int) string { return "最多 " + strconv.Itoa(max) + " 个字符，中英文均可。" },
			Create:               "新建频道",
			ChannelCreated:       func(name string) string { return "频道“" + name + "”已创建。" },
			ChannelNameEmpty:     "请输入频道名称。",
			ChannelNameTooLong:   func(max int) string { return "频道名称太长，最多 " + strconv.Itoa(max) + " 个字符。" },
			ChannelNameForbidden: "频道名称里有不支持的字符（如不可见字符），请修改。",
			ChannelExists:        func(name string) string { return "频道“" + name + "”已存在，可直接进入。" },
			MissingChannelTitle:  "频道不存在",
			MissingChannel: func(name string) string {
				return "没有找到“" + name + "”，可能已改名，或链接有误。"
			},
			CreateMissing:    func(name string) string { return "新建频道“" + name + "”" },
			ToChannels:       "查看全部频道",
			UnreadAfterCount: " 条未读",

			NowInChannel:    func(name string) string { return "当前频道：" + name },
			Messages:        func(channel string) string { return "“" + channel + "”中的消息" },
			TimesIn:         func(zone string) string { return "时间以 " + zone + " 为准。" },
			NoMessages:      "还没有消息，来发第一条吧。",
			EarlierMessages: "更早的消息",
			NewerMessages:   "后面的消息",
			NewestMessages:  "回到最新",
			NewMessages:     "有新消息",
			Message:         func(channel string) string { return "发送到 #" + channel },
			Send:            "发送",
			SendKeys:        "按 Shift+Enter 发送",
			SendKeysEnter:   "按 Enter 发送，按 Shift+Enter 换行",
			EnterSends:      "按 Enter 发送",
			EnterSendsHint:  "关闭时，按 Enter 换行，按 Shift+Enter 发送。Ctrl+Enter 始终发送。",
			Delete:          "删除消息",
			MessageDeleted:  "消息已删除。",
			MarkUnread:      "从这里起标为未读",
			MarkUnreadMode:  "标为未读…",
			MarkUnreadDone:  "返回频道",
			MarkedUnread:    func(string) string { return "已标为未读。" },
			NewLine:         "以下为新消息",
			FirstNewMessage: "跳到第一条新消息",
			HereNow:         "在线",
			HereAfterCount:  " 人在线",
			TypingOne:       " 正在输入…",
			TypingAnd:       "、",
			TypingTwo:       " 正在输入…",
			TypingSeveral:   "多人正在输入…",
			MessageEmpty:    "请输入内容。",
			MessageTooLong: func(excess, max int) string {
				return "超出 " + number(excess, ",") + " 个字符（上限 " + number(max, ",") + "）。"
			},
			KeyInvalid:        "页面已过期，请刷新后重新发送。",
			StateLive:         "已连接",
			StateReconnecting: "正在重新连接…",
			StateOffline:      func(since string) string { return since + " 起已断网" },
			Pending:           "待发送",
			PendingFailed:     "发送失败",
			Retry:             "重新发送",
			EditAgain:         "编辑",

			BadRequest:       Failure{"操作无效", "无法识别这次操作，请返回重试。"},
			SignInFirst:      Failure{"登录已失效", "请重新登录后再试。"},
			NotYours:         Failure{"没有权限", "这条消息不是你发的，不能删除。"},
			CrossOrigin:      Failure{"没有权限", "请求来自其他网站，已被拒绝。请刷新页面后重试。"},
			NotFound:         Failure{"页面不存在", "内容可能已删除，或地址有误。"},
			MethodNotAllowed: Failure{"不支持此操作", "请返回重试。"},
			Timeout:          Failure{"响应超时", "请稍后重试。"},
			TooLarge:         Failure{"内容过大", "内容太大，超出上限。"},
			TooManyPosts:     Failure{"操作太频繁", "你发得太快了，请稍等片刻再试。"},
			TooManySignIns:   Failure{"操作太频繁", "登录尝试过于频繁，请一分钟后再试。"},
			ServerError:      Failure{"出错了", "操作没有成功，请重试。如果一直这样，请联系管理员。"},
			Unavailable:      Failure{"服务暂不可用", "Hubbub 暂时无法使用，请稍后重试。"},
			Kept:             "你写的内容",
			BackHome:         "返回首页",
		},
	}
}
