// The live side of a page: the best connection to be had, and an honest word on
// how live the page is.
(() => {
	'use strict';

	const $ = id => document.getElementById(id);
	let live = $('live');
	if (!live) return;
	const state = $('state'); // the list of channels has none
	const words = state?.dataset;

	const OPEN_WITHIN = 4000; // ms for a connection to show that it works
	const SILENT = 40000; // ms without a beat before it is taken for dead
	const CLIMB = [5000, 300000]; // ms between looks for a better connection, at first and at most
	const SPEAK_AFTER = 2000; // ms that a lost line may last unmentioned

	// What the page holds: everything up to a revision, who is here, what waits
	// elsewhere. The server sends what differs.
	const tab = Math.random().toString(36).slice(2);
	live.dataset.tab = tab;
	const address = () => {
		const { path, after, reading } = live.dataset;
		const query = new URLSearchParams();
		if (after) query.set('after', after);
		if ($('here')) query.set('here', $('here').dataset.state);
		query.set('news', $('news').dataset.state);
		query.set('tab', tab);
		if (reading) query.set('reading', reading);
		return `${path}?${query}`;
	};
	const heard = text => {
		if (!$('messages')) return;
		let after = +live.dataset.after;
		// A frame that replaces everything starts anew, even from an earlier
		// number: a backup may have been restored.
		if (text.startsWith('<hx-partial hx-target="#messages"')) after = 0;
		for (const m of text.matchAll(/data-revision="(\d+)"/g)) after = Math.max(after, +m[1]);
		if (after === +live.dataset.after) return;
		live.dataset.after = after;
		document.dispatchEvent(new Event('hubbub:heard'));
	};
	let taking = Promise.resolve();
	const take = text => (taking = taking.catch(() => {}).then(() =>
		htmx.swap({ sourceElement: live, target: live.getAttribute('hx-target'), swap: live.getAttribute('hx-swap') + ' swapEmpty:false', text, transition: false })));

	// How live the page is, in words. A short gap is not worth a word.
	let speaking;
	let givingUp;
	let since = new Date();
	const clock = new Intl.DateTimeFormat(document.documentElement.lang, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
	const say = name => {
		live.dataset.state = name;
		if (!state) return;
		const text = name === 'offline' ? words.offline.replace('{time}', clock.format(since)) : words[name];
		state.className = name;
		if (state.textContent !== text) state.textContent = text;
	};
	const isLive = () => {
		if (!navigator.onLine) return;
		clearTimeout(speaking);
		clearTimeout(givingUp); // the next gap has a time of its own
		speaking = undefined;
		say('live');
		alive();
		if (told) return;
		told = true;
		document.dispatchEvent(new Event('hubbub:live'));
	};
	let told = false; // that the line is back
	const isLost = () => {
		told = false;
		clearTimeout(watch);
		if (speaking !== undefined) return;
		since = new Date();
		speaking = setTimeout(() => say(navigator.onLine ? 'reconnecting' : 'offline'), SPEAK_AFTER);
		givingUp = setTimeout(() => say('offline'), 10 * SPEAK_AFTER);
	};

	// A connection that is silent for too long is dead, whatever it says.
	let watch;
	const alive = () => {
		clearTimeout(watch);
		watch = setTimeout(() => { isLost(); socket(); }, SILENT);
	};

	// The ladder: a WebSocket, else a stream of events, else held answers.
	// Each rung that fails leads to the next, the last one back to the first.
	let end = () => {}; // ends the present rung
	let failures = 0;
	const pause = () => Math.min(500 * 2 ** failures++, 5000) * (0.7 + 0.6 * Math.random());

	// The WebSocket is htmx's: it comes with the element and goes with it.
	let connection;
	const place = connects => {
		connection?.socket?.close(1000);
		connection = undefined;
		const fresh = live.cloneNode();
		fresh.removeAttribute('data-htmx-powered');
		fresh.removeAttribute('hx-ws:connect');
		if (connects) fresh.setAttribute('hx-ws:connect', address());
		live.replaceWith(fresh);
		live = fresh;
		htmx.process(live);
	};
	let opening;
	const socket = () => {
		end();
		end = () => {
			clearTimeout(opening);
			place(false);
		};
		place(true);
		awaitSocket();
	};
	const awaitSocket = () => {
		clearTimeout(opening);
		opening = setTimeout(events, OPEN_WITHIN);
	};
	document.addEventListener('htmx:ws:before:connection', event => {
		connection = event.detail.connection;
		connection.url = new URL(address(), location.href).href.replace(/^http/, 'ws');
	});
	document.addEventListener('htmx:ws:after:connection', () => {
		clearTimeout(opening);
		failures = 0;
		climbAfter = CLIMB[0];
		isLive();
	});
	document.addEventListener('htmx:ws:before:message:incoming', event => {
		alive();
		if (event.detail.message.data === ' ') event.detail.cancelled = true;
	});
	document.addEventListener('htmx:ws:after:message:incoming', event => heard(event.detail.message.data));
	document.addEventListener('htmx:ws:close', event => {
		const { code, reason } = event.detail;
		if (reason !== 'closed' || leaving) return;
		if (code >= 4000) return over();
		isLost();
		// Never opened, twice: something on the way does not let it through.
		if (++failures >= 2) events();
		else awaitSocket();
	});

	const events = () => {
		end();
		const source = new EventSource(address());
		let climb;
		const timer = setTimeout(held, OPEN_WITHIN);
		end = () => {
			source.close();
			clearTimeout(timer);
			climb?.();
		};
		source.addEventListener('open', event => {
			if (event.data === undefined) return; // the browser's own: headers alone prove nothing
			clearTimeout(timer);
			climb ??= climbLater();
			isLive();
		});
		source.addEventListener('beat', alive);
		source.addEventListener('over', over);
		source.addEventListener('message', async event => {
			alive();
			await take(event.data);
			heard(event.data);
		});
		source.addEventListener('error', () => {
			isLost();
			held();
		});
	};

	const held = () => {
		end();
		const control = new AbortController();
		const stopClimbing = climbLater();
		let stopped = false;
		end = () => {
			stopped = true;
			control.abort();
			stopClimbing();
		};
		(async () => {
			while (!stopped) {
				try {
					const quiet = setTimeout(isLive, OPEN_WITHIN / 2); // it waits, so it was let in
					const answer = await fetch(address(), { headers: { Accept: 'text/html' }, signal: control.signal }).finally(() => clearTimeout(quiet));
					if (answer.status === 401 || answer.status === 404) return over();
					if (!answer.ok) throw new Error(answer.status);
					const text = await answer.text();
					isLive();
					if (text.trim()) await take(text);
					heard(text);
				} catch {
					if (stopped) return;
					isLost();
					end();
					retry();
					return;
				}
			}
		})();
	};

	// From a lower rung, look now and then whether a WebSocket can be had.
	// Returns what stops that.
	let climbAfter = CLIMB[0];
	const climbLater = () => {
		let probe;
		const look = () => {
			probe?.close(); // it has been silent all the while
			probe = new WebSocket(new URL(address(), location.href).href.replace(/^http/, 'ws'));
			probe.addEventListener('open', () => {
				if (stopped) return;
				failures = 0;
				socket();
			});
			climbAfter = Math.min(climbAfter * 2, CLIMB[1]);
			timer = setTimeout(look, climbAfter);
		};
		let stopped = false;
		let timer = setTimeout(look, climbAfter);
		return () => {
			stopped = true;
			clearTimeout(timer);
			probe?.close();
		};
	};

	let retrying;
	const retry = () => {
		clearTimeout(retrying);
		retrying = setTimeout(socket, pause());
	};

	// The session or the channel is over. The page that comes says so; what is
	// typed is kept as a draft.
	let leaving = false;
	addEventListener('beforeunload', () => {
		leaving = true;
		setTimeout(() => { leaving = false; }, 5000); // it may come to nothing
	});
	const over = () => {
		end();
		if (!leaving) location.reload();
	};

	// A tab that wakes, or a line that is back, does not wait for its turn.
	const wake = () => {
		if (document.hidden || live.dataset.state === 'live') return;
		failures = 0;
		clearTimeout(retrying);
		socket();
	};
	addEventListener('online', wake);
	addEventListener('offline', () => { isLost(); say('offline'); });
	document.addEventListener('visibilitychange', wake);
	// A page that comes back from the browser's memory has a closed connection.
	addEventListener('pageshow', event => {
		if (event.persisted) {
			leaving = false;
			isLost();
			socket();
		}
	});
	// A post that did not come through may be the first sign.
	document.addEventListener('hubbub:lost', () => {
		isLost();
		if (live.dataset.state === 'live') socket();
	});
	awaitSocket();
	end = () => {
		clearTimeout(opening);
		place(false);
	};
})();
