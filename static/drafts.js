// Drafts: what stands in the box of a room and is not sent. Each is kept under the
// key of its post, so one tab's does not touch another's, and a draft that two
// tabs hold is posted once.
import { $, local, session } from './page.js';
import { newKey } from './outbox.js';

const OFFER_AFTER = 150; // ms within which other tabs say which drafts they hold

// reconcile says what becomes of a box that holds mine when another tab has made
// the draft of its key what it is now: it keeps its text, takes the other, or
// parts with the key.
export const reconcile = (mine, before, now) => {
	if (mine === now) return 'keep';
	return mine === before ? 'take' : 'part';
};

export const startDrafts = (drawer, isPosted, grow) => {
	const box = $('body');
	const key = $('key');
	const prefix = drawer + 'draft:';
	const own = 'hubbub:draft:' + drawer; // the key of this tab's draft
	const elsewhere = new Set(); // keys of drafts that other tabs hold
	let stored = true; // this browser lets drafts be kept

	const keep = () => {
		if (elsewhere.has(key.value)) key.value = newKey();
		if (!box.value) return local.remove(prefix + key.value);
		session.set(own, key.value);
		stored = local.set(prefix + key.value, { body: box.value, at: Date.now() });
	};
	const show = (name, body) => {
		key.value = name.slice(prefix.length);
		box.value = body;
		session.set(own, key.value);
		grow();
	};
	box.addEventListener('input', keep);

	// What this tab held before a reload, else the newest that no other tab holds.
	const all = () => local.names(prefix).map(name => ({ name, ...local.get(name) })).filter(draft => {
		if (draft.body && !isPosted(draft.name.slice(prefix.length))) return true;
		local.remove(draft.name);
		return false;
	});
	let offered = null; // a draft that this tab shows because no other tab said it holds it
	const offer = drafts => {
		const newest = drafts.sort((a, b) => b.at - a.at)[0];
		if (!newest || box.value) return;
		offered = newest;
		show(newest.name, newest.body);
	};
	// The tab that holds what was offered here may be busy or still loading, and say
	// so only afterwards.
	const withdraw = held => {
		if (offered?.name !== prefix + held || held !== key.value || box.value !== offered.body) return;
		box.value = '';
		key.value = newKey();
		session.set(own, key.value);
		grow();
	};
	const mine = all().find(draft => draft.name === prefix + session.get(own));
	// A browser may have filled the box again by itself.
	const filled = all().find(draft => draft.body === box.value);
	if (mine && !box.value) show(mine.name, mine.body);
	else if (filled) show(filled.name, filled.body);
	grow();

	let tabs;
	const open = () => {
		tabs = new BroadcastChannel('hubbub:drafts');
		tabs.addEventListener('message', ({ data }) => {
			if (data.holds) {
				elsewhere.add(data.holds);
				withdraw(data.holds);
			} else if (data.drawer === drawer) {
				withdraw(data.claims);
				if (box.value) tabs.postMessage({ holds: key.value });
			}
		});
		tabs.postMessage({ drawer, claims: box.value ? key.value : '' });
		setTimeout(() => offer(all().filter(draft => !elsewhere.has(draft.name.slice(prefix.length)))), OFFER_AFTER);
	};
	open();
	addEventListener('pagehide', () => tabs.close());
	addEventListener('pageshow', event => {
		if (!event.persisted) return;
		// Another tab may have sent or changed it meanwhile, and the key been used.
		if (stored || !box.value) meet(local.get(prefix + key.value)?.body ?? '', box.value);
		else key.value = newKey();
		open();
	});

	const meet = (now, before) => {
		const what = reconcile(box.value, before, now);
		if (what === 'keep' && now) return;
		if (what === 'take' && now) {
			box.value = now;
		} else {
			if (what !== 'part') box.value = '';
			key.value = newKey();
			if (box.value) keep();
		}
		grow();
	};
	addEventListener('storage', event => {
		if (event.key !== prefix + key.value) return;
		const body = value => value ? JSON.parse(value).body : '';
		meet(body(event.newValue), body(event.oldValue));
	});

	return {
		keep,
		// drop forgets the draft under a key, for it is a post now.
		drop: name => local.remove(prefix + name),
	};
};
