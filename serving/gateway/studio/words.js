/** Every string of the page, one table a language, and what puts them there. */

/** @typedef {"en" | "zh"} Language */

/** @type {Record<Language, Record<string, string>>} */
export const TABLES = {
  en: {
    skip: "Skip to the work", home: "danqing, to painting", nav: "The studio", language: "Language",
    navPaint: "Paint", navEdit: "Edit", navAlbum: "Album",
    paintTitle: "Say what to paint",
    paintLead: "A line of words, in English or Chinese, becomes a picture in ink and colour.",
    prompt: "Your words", promptHint: "a lone boat under misty mountains, freehand",
    words: "Words the painter knows best", elements: "Things", categories: "Manner", techniques: "Technique",
    seasons: "Season", palettes: "Colour", places: "Place",
    seed: "Seed", seedHint: "by chance", another: "Another one", guidance: "Closeness",
    guidanceOwn: "automatic", paint: "Paint", cancel: "Put down the brush",
    progress: "How far the picture is", begun: "The ink is being ground …", step: "Stroke {step} of {steps}",
    done: "The picture is painted and kept in your album.", cancelled: "Put down. Nothing was kept.",
    notKept: "The picture is painted, but this browser does not let it be kept: download it.",
    download: "Download", editThis: "Change it", origin: "Where does this picture come from?",
    model: "Model", note: "Changed words", hasGuidance: "Closeness", nearest: "Nearest works in the collection",
    nearestNote: "Similar is not the same as copied: these are the works that it most resembles.",
    similarity: "{share} % alike", licence: "Licence", source: "Source", inFile: "What the file itself says",
    looking: "Looking into the file …", yes: "yes", no: "no",
    editTitle: "Change a picture",
    editLead: "Replace a part, restore what is lost, let the scene go on, or change the manner.",
    whichPicture: "Picture", upload: "Open a file …", chosen: "Picture opened: {width} × {height} pixels.",
    emptyAlbum: "Your album is empty so far: paint something, or open a file.",
    cannotOpen: "This file cannot be shown here: use PNG, JPEG or WebP.", choose: "Choose a picture first.",
    whatToDo: "What to do", replace: "Replace", restore: "Restore", extend: "Extend", manner: "New manner",
    mark: "Mark where", markHint: "Brush over it in the picture. All else stays as it is.",
    brush: "Brush", undo: "Undo", clear: "Clear", byNumbers: "Mark a box by numbers instead",
    fromLeft: "Left %", fromTop: "Top %", toRight: "Right %", toBottom: "Bottom %", addBox: "Mark the box",
    marked: "Marks: {count}", side: "Towards which side", left: "Left", right: "Right", up: "Up", down: "Down",
    strength: "How much is new", instruction: "What should be there", instructionHint: "a pagoda among pines",
    change: "Repaint", changing: "The brush is at work …", changed: "Repainted, and kept in your album.",
    compare: "Before and after", goOn: "Go on from this", back: "Back to the marks",
    beforeAlt: "Before", after: "After", afterAlt: "After: {prompt}",
    albumTitle: "Album",
    albumLead: "What was painted in this browser. It is kept here and nowhere else; nobody else sees it.",
    nothing: "Nothing yet. The first picture is a line of words away.", bringBack: "Bring back: {prompt}",
    remove: "Delete", removed: "Deleted.", deleteAll: "Delete all", sureTitle: "Delete all pictures?",
    sureWhy: "They are in this browser only, and cannot be brought back.", sureYes: "Delete all", sureNo: "Keep them",
    keyTitle: "An API key is needed",
    keyWhy: "The gateway asks who is painting. The key is forgotten when this tab closes.",
    keyWrong: "The gateway does not know this key. Please look at it again.",
    keyLabel: "API key", keyUse: "Use it", keyNot: "Not now",
    footer: "Every picture carries its origin inside the file.", again: "Try again", reference: "Reference",
    bad_input: "Not quite yet", refused: "This is not painted here", needs_approval: "A consultant has been asked",
    too_large: "Too large", busy: "All brushes are in use", not_ready: "The painter is not ready",
    too_slow: "It took too long", unreachable: "The gateway cannot be reached", no_key: "An API key is needed",
    other: "That did not work", say_unreachable: "Is it running, and are you connected? Nothing was lost.",
    say_no_key: "Without a key the gateway does not paint.", say_other: "Please try again later.",
    say_needs_approval: "Ask again once they have agreed. Their file has the number {approval}.",
  },
  zh: {
    skip: "跳到正文", home: "丹青，回到作画", nav: "画室", language: "语言",
    navPaint: "作画", navEdit: "改画", navAlbum: "画册",
    paintTitle: "以言作画", paintLead: "写一句话，中文英文都行，化作一幅水墨丹青。",
    prompt: "画意", promptHint: "孤舟，远山，云雾，写意",
    words: "画师熟知的词", elements: "景物", categories: "画法", techniques: "技法", seasons: "四时", palettes: "设色", places: "位置",
    seed: "种子", seedHint: "随缘", another: "换一个", guidance: "贴合画意", guidanceOwn: "由画师定", paint: "落笔", cancel: "搁笔",
    progress: "画到哪里了", begun: "研墨中……", step: "第 {step} 笔，共 {steps} 笔",
    done: "画成，已收入画册。", cancelled: "已搁笔，未留下画。", notKept: "画成了，但此浏览器不让保存，请下载。",
    download: "下载", editThis: "改这幅", origin: "这幅画从何而来？", model: "模型", note: "画意有改", hasGuidance: "贴合",
    nearest: "藏品中最相近的作品", nearestNote: "相近不等于抄袭：这些是与它最像的作品。", similarity: "相似 {share}%",
    licence: "许可", source: "出处", inFile: "文件自己的记录", looking: "正在查看文件……", yes: "是", no: "否",
    editTitle: "改画", editLead: "换去一处，补全残缺，延展画境，或改换笔意。",
    whichPicture: "画", upload: "打开文件……", chosen: "已打开：{width} × {height} 像素。",
    emptyAlbum: "画册还是空的：先画一幅，或打开文件。", cannotOpen: "此文件无法显示：请用 PNG、JPEG 或 WebP。", choose: "请先选一幅画。",
    whatToDo: "怎样改", replace: "换一处", restore: "修补", extend: "延展", manner: "改笔意",
    mark: "标出位置", markHint: "在画上用笔涂出要改的地方，其余丝毫不动。", brush: "笔", undo: "撤一笔", clear: "清除",
    byNumbers: "或用数字标一个方框", fromLeft: "左 %", fromTop: "上 %", toRight: "右 %", toBottom: "下 %", addBox: "标出方框",
    marked: "已标 {count} 处", side: "往哪一边", left: "左", right: "右", up: "上", down: "下",
    strength: "新意几分", instruction: "此处画什么", instructionHint: "松间宝塔",
    change: "改画", changing: "运笔中……", changed: "已改好，收入画册。", compare: "前后对照", goOn: "接着改", back: "回到标记",
    beforeAlt: "改前", after: "改后", afterAlt: "改后：{prompt}",
    albumTitle: "画册", albumLead: "在此浏览器里画的都在这里，只存于此，别人看不到。", nothing: "还没有画。写一句话，便有第一幅。",
    bringBack: "取回：{prompt}", remove: "删除", removed: "已删除。", deleteAll: "全部删除", sureTitle: "删除全部画作？",
    sureWhy: "它们只存在此浏览器里，删了就找不回来。", sureYes: "全部删除", sureNo: "留着",
    keyTitle: "需要 API 密钥", keyWhy: "网关要知道是谁在作画。关闭此标签页后密钥即被忘记。", keyWrong: "网关不认识这个密钥，请再看看。",
    keyLabel: "API 密钥", keyUse: "使用", keyNot: "暂不",
    footer: "每幅画的文件里都记着它的来历。", again: "再试一次", reference: "编号",
    bad_input: "还差一点", refused: "此画恕不能作", needs_approval: "已请顾问过目", too_large: "太大了", busy: "画笔都在用",
    not_ready: "画师还没准备好", too_slow: "画得太久了", unreachable: "连不上网关", no_key: "需要 API 密钥", other: "没有成功",
    say_prompt: "这句画意画师读不懂，或一次读不完。试试「山水、孤舟、墨竹、写意」这样的词。",
    say_mask: "请先标出要重画的地方；太长的一处请分几次。", say_picture: "这张图读不了，换一张试试。",
    say_seed: "种子要用不太大的非负整数。", say_guidance: "贴合画意请用 0 到 100 之间的数。", say_strength: "新意要多于零分。",
    say_bad_input: "请求里有一处不对，请看看。", say_refused: "依规矩，这个题目在这里不画。",
    say_needs_approval: "顾问同意后请再来一次，编号 {approval}。", say_too_large: "请把图缩小一些再来。",
    say_busy: "请稍候片刻再试。", say_not_ready: "请稍后再试。", say_too_slow: "请再试一次。",
    say_unreachable: "它在运行吗？网络通吗？什么都没有丢失。", say_no_key: "没有密钥，网关不能作画。", say_other: "请稍后再试。",
  },
};

/** @type {Language} */
let now = "en";

export const language = () => now;

/** The string `key` in the page's language with {names} filled in; "" where there is none. */
export function t(key, values = {}) {
  return (TABLES[now][key] ?? "").replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** Speak `to` from now on: fills what says data-t, data-label or data-placeholder, then tells whoever listens. */
export function speak(/** @type {Language} */ to) {
  now = to;
  document.documentElement.lang = to === "zh" ? "zh-Hans" : "en";
  const every = (mark, say) => {
    for (const element of document.querySelectorAll(`[data-${mark}]`)) say(element, element.dataset);
  };
  every("t", (element, data) => (element.textContent = t(data.t)));
  every("label", (element, data) => (element.ariaLabel = t(data.label)));
  every("placeholder", (element, data) => (element.placeholder = t(data.placeholder)));
  every("language", (element, data) => (element.ariaPressed = String(data.language === to)));
  document.dispatchEvent(new Event("spoken"));
}

/** What was chosen here before, else the browser's language. */
export function preferred() {
  const chosen = localStorage.getItem("danqing-language") ?? navigator.language;
  return /** @type {Language} */ (chosen.startsWith("zh") ? "zh" : "en");
}
