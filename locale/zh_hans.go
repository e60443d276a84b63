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

		Words: Words{
			GroupMark:   ",",
			DateTimeGap: " ",
			FormatDate:  func(t time.Time) string { return t.Format("2006年1月2日") },
			FormatDay: func(t time.Time) string {
				weekdays := [...]string{"日", "一", "二", "三", "四", "五", "六"}
				return t.Format("2006年1月2日") + " 星期" + weekdays[t.Weekday()]
			},

			SkipToContent: "跳到主要内容",
			WelcomeBefore: "欢迎，",
			WelcomeAfter:  "。",
			LogOut:        "退出登录",
			Language:      "语言",
			Notices:       "通知",
			Dismiss:       "关闭",
			Info:          "提示",
			Success:       "成功",
			Warning:       "注意",
			Danger:        "错误",

			SignInTitle:      "登录",
			Tagline:          "部署在内网中的团队聊天工具。",
			EnterDisplayName: "输入你的显示名称",
			DisplayName:      "显示名称",
			DisplayNameHint: func(max int) string {
				return "1 到 " + strconv.Itoa(max) + " 个字符，任何文字均可。它会显示在你的消息旁。"
			},
			HavePassword:    "密码（选填）",
			Password:        "密码",
			PasswordHint:    func(min int) string { return "至少 " + strconv.Itoa(min) + " 个字符。" },
			PasswordHere:    "设置密码后，可以在任何浏览器中使用这个名称；不设密码，名称只属于当前浏览器。",
			SignIn:          "登录",
			Cancel:          "取消",
			UserCreated:     func(name string) string { return "新用户“" + name + "”已创建。" },
			NotLoggedIn:     "你尚未登录。",
			LoggedOut:       "你已退出登录。",
			AlreadySignedIn: func(name string) string { return "你已经以“" + name + "”的身份登录。" },
			NameEmpty:       "显示名称不能为空。",
			NameTooLong:     func(max int) string { return "显示名称太长，最多 " + strconv.Itoa(max) + " 个字符。" },
			NameForbidden:   "显示名称含有不能使用的字符，例如控制字符或不可见字符。",
			NameTaken: func(name string) string {
				return "名称“" + name + "”已被使用，或与已有的名称过于相似，请换一个。"
			},
			NameNeedsPassword: func(name string) string {
				return "名称“" + name + "”已被使用。如果它是你的，请输入密码。"
			},
			PasswordWrong:    "密码不正确。",
			PasswordTooShort: func(min int) string { return "密码太短，至少需要 " + strconv.Itoa(min) + " 个字符。" },
			PasswordTooLong:  func(max int) string { return "密码太长，最多 " + strconv.Itoa(max) + " 个字符。" },

			UserTitle:          "我的账号",
			UserSince:          func(date string) string { return "创建于 " + date + "。" },
			PasswordTitle:      "密码",
			NoPasswordYet:      "你的名称还没有密码，只能在已登录的浏览器中使用。设置密码后，可以在任何地方登录。",
			HasPassword:        "你的名称已设置密码，可用它在任何浏览器中登录。更改或移除密码后，其他地方的登录都会失效。",
			CurrentPassword:    "当前密码",
			NewPassword:        "新密码",
			SetPassword:        "设置密码",
			ChangePassword:     "更改密码",
			RemovePassword:     "移除密码",
			RemovePasswordHint: "移除密码后，只有当前浏览器可以使用你的名称。",
			PasswordSet:        "密码已设置。",
			PasswordChanged:    "密码已更改。",
			PasswordRemoved:    "密码已移除。",
			LogOutTitle:        "要退出登录吗？",
			LogOutWarning: func(name string) string {
				return "名称“" + name + "”没有密码。一旦退出，任何人都无法再找回它，包括你自己。"
			},
			LogOutSetPasswordTitle: "保留这个名称",
			SetPasswordAndLogOut:   "设置密码并退出",
			LogOutAnyway:           "仍要退出",
			LogOutAnywayHint:       func(name string) string { return "永久放弃名称“" + name + "”。" },
			StaySignedIn:           "保持登录",

			Channels:             "频道",
			LatestChannel:        "你最近访问的频道",
			AllChannels:          "全部频道",
			NoChannels:           "还没有频道。",
			CreatedAt:            func(when string) string { return "创建于 " + when },
			CreateTitle:          "新建频道",
			ChannelName:          "频道名称",
			ChannelNameHint:      func(max int) string { return "1 到 " + strconv.Itoa(max) + " 个字符，任何文字均可。" },
			Create:               "新建频道",
			ChannelCreated:       func(name string) string { return "新频道“" + name + "”已创建。" },
			ChannelNameEmpty:     "频道名称不能为空。",
			ChannelNameTooLong:   func(max int) string { return "频道名称太长，最多 " + strconv.Itoa(max) + " 个字符。" },
			ChannelNameForbidden: "频道名称含有不能使用的字符，例如控制字符或不可见字符。",
			ChannelExists:        func(name string) string { return "频道“" + name + "”已存在。" },
			MissingChannelTitle:  "没有这个频道",
			MissingChannel:       func(name string) string { return "频道“" + name + "”不存在。" },
			CreateMissing:        func(name string) string { return "新建频道“" + name + "”" },
			ToChannels:           "查看全部频道",
			UnreadAfterCount:     " 条未读",

			NowInChannel:    func(name string) string { return "你现在位于频道 [" + name + "]。" },
			Messages:        func(channel string) string { return channel + " 的消息" },
			TimesIn:         func(zone string) string { return "时间按 " + zone + " 显示。" },
			NoMessages:      "还没有消息，来发第一条吧。",
			EarlierMessages: "更早的消息",
			NewerMessages:   "较新的消息",
			NewestMessages:  "最新的消息",
			NewMessages:     "有新消息",
			Message:         func(channel string) string { return "发消息到 " + channel },
			Send:            "发送",
			SendKeys:        "Shift+Enter",
			SendKeysEnter:   "Enter",
			EnterSends:      "按 Enter 发送",
			Delete:          "删除消息",
			MessageDeleted:  "消息已删除。",
			MarkUnread:      "从这里起标为未读",
			MarkUnreadMode:  "标为未读…",
			MarkUnreadDone:  "返回频道",
			MarkedUnread:    func(channel string) string { return "已将 " + channel + " 中的消息标为未读。" },
			NewLine:         "新消息",
			FirstNewMessage: "跳到第一条新消息",
			HereNow:         "当前在场",
			TypingNow:       "正在输入：",
			MessageEmpty:    "消息不能为空。",
			MessageTooLong: func(length, max string) string {
				return "消息太长：现有 " + length + " 个字符，最多 " + max + " 个。"
			},
			KeyInvalid:        "此表单已失效，请刷新页面后重新发送。",
			StateConnecting:   "正在连接…",
			StateLive:         "实时",
			StateReconnecting: "正在重新连接…",
			StateOffline:      func(since string) string { return "自 " + since + " 起离线" },
			Sending:           "正在发送…",
			Pending:           "尚未发送",
			PendingFailed:     "发送失败",
			Retry:             "重试",
			Undone:            "操作未能完成，请重试。",
			EditAgain:         "编辑",

			BadRequest:               Failure{"请求有误", "请求中有无法识别的内容，请返回后重试。"},
			SignInFirst:              Failure{"未登录", "你尚未登录，请登录后重试。"},
			NotYours:                 Failure{"没有权限", "这条消息不是你发的，不能删除。"},
			CrossOrigin:              Failure{"没有权限", "请求来自其他网站，已被拒绝。请刷新页面后重试。"},
			NotFound:                 Failure{"页面不存在", "这里什么也没有。内容可能已被删除，或者地址有误。"},
			MethodNotAllowed:         Failure{"操作不支持", "此地址不支持这种请求。"},
			Timeout:                  Failure{"请求超时", "处理时间过长，请稍后重试。"},
			TooLarge:                 Failure{"内容过大", "请求的内容超出了 Hubbub 的上限。"},
			TooManyPosts:             Failure{"操作太频繁", "你发得太快了，请稍等片刻再试。"},
			TooManySignIns:           Failure{"操作太频繁", "登录尝试过于频繁，请一分钟后再试。"},
			ServerError:              Failure{"出错了", "Hubbub 未能完成操作，请重试。如果问题依旧，请联系管理员。"},
			Unavailable:              Failure{"服务暂不可用", "Hubbub 暂时无法使用，请稍后重试。"},
			KeyUsed:                  "此页面已发送过别的内容。你写的内容还在，请重新发送。",
			PasswordChangedMeanwhile: Failure{"密码已变更", "密码刚刚在别处修改过，请刷新页面后重试。"},
			Kept:                     "你写的内容",
			BackHome:                 "返回 Hubbub",
		},
	}
}
