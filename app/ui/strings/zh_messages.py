"""Chinese for what the backend says in English, sentence by sentence: refusals, failures, the state of the engine.

`{name}` stands for what the backend filled in there; of two sentences that fit the first one holds. What is not here is
said by the sentence of its code.
"""

from __future__ import annotations

from collections.abc import Mapping

MESSAGES: Mapping[str, str] = {
    # the question
    "The question is empty: type one first.": "问题是空的，请先输入问题。",
    "The question has {n} characters; shorten it to {limit}.": "问题有 {n} 个字符，请缩短到 {limit} 个以内。",
    "There is no corpus {name}; the server has none.": "没有名为 {name} 的语料库；服务器上还没有任何语料库。",
    "There is no corpus {name}; the server has {names}.": "没有名为 {name} 的语料库，请选用：{names}。",
    "There is no pipeline {name}; among the {n} are {names}.": "没有名为 {name} 的流程；{n} 个流程中有 {names}。",
    "There is no engine {name}; name {names}, or none for the main one.": (
        "没有名为 {name} 的引擎，请选用 {names}，或不指定而使用主引擎。"
    ),
    "There is no engine {name}; name none for the main one.": "没有名为 {name} 的引擎，请不要指定，改用主引擎。",
    "{pipeline} has no parameter {name}; it has {names}.": "{pipeline} 没有参数 {name}；它的参数有 {names}。",
    "{name} must be one of {choices}.": "{name} 必须是以下之一：{choices}。",
    "{name} must be a whole number from {low} to {high}.": "{name} 必须是 {low} 到 {high} 之间的整数。",
    "{name} must be a number from {low} to {high}.": "{name} 必须是 {low} 到 {high} 之间的数。",
    "{name} must be true or false.": "{name} 必须是 true 或 false。",
    "{name} must be a text.": "{name} 必须是一段文字。",
    "There is no such conversation.": "没有这个对话，它可能已被删除；请从列表中另选一个，或开始新对话。",
    "There is no such turn in this conversation.": "这个对话里没有这个问题；请重新载入页面再试。",
    "There is no such turn.": "没有这个问题，它可能已被删除；请重新载入页面再试。",
    "There is no such comparison.": "没有这个对比，它可能已被删除；请从列表中另选一个，或开始新的对比。",
    "There is no such answer.": "没有这个回答，它可能已被删除；请重新载入页面再试。",
    "This is a comparison: run its columns again there, or ask in a new conversation.": (
        "这是一个对比：请在对比页重新运行其中的列，或在新对话中提问。"
    ),
    # the door
    "You have asked {n} questions today, which is the limit; it starts anew at 00:00 UTC.": (
        "你今天已提了 {n} 个问题，达到上限；UTC 零点重新计数。"
    ),
    "You have asked {n} questions within a minute, which is the limit; wait a little.": (
        "你一分钟内已提了 {n} 个问题，达到上限；请稍等片刻。"
    ),
    "You already have {n} questions waiting; let one finish first.": "你已有 {n} 个问题在等待，请等其中一个完成再问。",
    "Too many questions are waiting; please try again shortly.": "等待的问题太多，请稍后再试。",
    "The questions that wait are too long already; please try again shortly.": "等待的问题总长已达上限，请稍后再试。",
    "Many people are asking, and the waits are too long; please try again shortly.": (
        "提问的人太多，等待太久，请稍后再试。"
    ),
    "Your network has asked as much as guests of one address may for now; please try later.": (
        "你所在网络的访客提问数已达上限，请过些时候再试。"
    ),
    "Guests of your network have as many questions here as they may; let one finish first.": (
        "你所在网络的访客同时提的问题已达上限，请等其中一个完成再问。"
    ),
    "Too many guests are asking; please try again shortly.": "提问的访客太多，请稍后再试。",
    "Too many attempts; please wait a moment and try again.": "尝试次数太多，请稍等片刻再试。",
    "The wait is about {s} s, too long for an answer in time; please try later.": (
        "大约要等 {s} 秒，来不及在时限内回答；请过些时候再试。"
    ),
    "The server is shutting down; please try again in a minute.": "服务器正在关闭，请一分钟后再试。",
    # time and the log
    "Its turn comes too late for an answer within {s} s.": "轮到它时已来不及在 {s} 秒内回答；请过些时候再问。",
    "This took longer than {s} s and was stopped.": "用时超过 {s} 秒，已停止；请再问一次，或选用更快的流程。",
    "The log cannot keep up; please try again in a moment.": "服务器来不及保存，请稍后再试。",
    "This could not be saved: the disk is full. Free some space and try again.": (
        "没能保存：服务器的磁盘已满，腾出空间后再试。"
    ),
    "This could not be saved: the data folder is read-only. Choose another with --data.": (
        "没能保存：数据文件夹只读；请用 --data 换一个。"
    ),
    "This could not be saved: another program holds the database. Close it and try again.": (
        "没能保存：另一个程序占用了数据库；请关闭它再试。"
    ),
    "This could not be saved: the file is damaged or no database. Restore it from a backup.": (
        "没能保存：数据库文件已损坏；请从备份恢复。"
    ),
    "The log could not be read: {why}": "服务器没能读出保存的内容；请稍后再试，或告知服务器管理员。",
    "The database is closed: the server is shutting down.": "服务器正在关闭，请一分钟后再试。",
    "Something went wrong on the server; its log has the details under {id}.": (
        "服务器出了问题，详情见其日志中的 {id}。"
    ),
    # the engine and the search
    "The engine is starting.": "引擎正在启动。",
    "The engine is starting again.": "引擎正在重新启动。",
    "The engine is stopped.": "引擎已停止。",
    "The engine died; it is started again.": "引擎意外退出，正在重新启动。",
    "The engine failed to start; it is tried again.": "引擎启动失败，正在重试。",
    "The engine failed to start {n} times; the server's log says why.": "引擎启动失败 {n} 次，原因见服务器日志。",
    "The engine {name} cannot be used now. {why}": "引擎 {name} 目前不可用；请稍后再试，或换一个引擎。",
    "vLLM is not installed or damaged; run `python launch.py` to install it.": (
        "vLLM 没有安装或已损坏；请运行 `python launch.py` 安装。"
    ),
    "The model cannot be loaded: is its name right, its folder complete, the network up?": (
        "模型无法载入：请检查名称是否正确、文件夹是否完整、网络是否连通。"
    ),
    "The model has no usable chat template; use an instruct model.": "模型没有可用的对话模板，请换用指令模型。",
    "vLLM refuses the model or its settings: {why}": "vLLM 不接受这个模型或它的设置：{why}",
    "The engine broke off the answer.": "引擎中断了回答，请再问一次。",
    "The engine failed while it answered; try again in a moment.": "引擎在回答时出错，请稍后再试。",
    "The engine fell silent for {s} s in the middle of the answer.": "引擎在回答中途 {s} 秒没有动静，请再问一次。",
    "The engine refuses this request: {why}": "引擎不接受这个请求：{why}",
    "The prompt has {n} tokens, but the model takes {limit}: shorten it.": (
        "提示词有 {n} 个词元，模型最多接受 {limit} 个；请缩短问题。"
    ),
    "The question and an answer of up to {n} tokens are {over} tokens more than the model can take ({limit}): shorten "
    "the question or lower max_tokens.": (
        "问题连同至多 {n} 个词元的回答比模型能接受的 {limit} 个词元多出 {over} 个；请缩短问题，或调低 max_tokens。"
    ),
    "The engine's server does not answer; is its address right, and is it running?": (
        "引擎服务器没有响应；请检查地址是否正确、服务器是否在运行。"
    ),
    "The engine's server is up, but its engine is not.": "引擎服务器已启动，但其中的引擎不可用。",
    "The engine's server refuses the API key; set engine.api_key.": (
        "引擎服务器不接受 API 密钥；请设置 engine.api_key。"
    ),
    "The address of the engine's server belongs to something else: it lists no models.": (
        "引擎服务器的地址不对：那里没有列出任何模型。"
    ),
    "The engine's server cannot be reached.": "无法连接引擎服务器，请稍后再试。",
    "The engine's server broke off the answer.": "引擎服务器中断了回答，请再问一次。",
    "The engine's server failed while it answered.": "引擎服务器在回答时出错，请再问一次。",
    "The engine's server does not serve this model any more.": "引擎服务器不再提供这个模型。",
    "The engine's server refuses the request; it is probably too long for the model.": (
        "引擎服务器不接受这个请求，它对模型来说可能太长；请缩短问题。"
    ),
    "The engine's server is overloaded.": "引擎服务器负载过高，请稍后再试。",
    "{why} Here nothing is answered without sources: try again in a moment.": (
        "没有检索到来源，这里不会凭空作答；请稍后再试。"
    ),
    "The engine does not tell how probable a text is.": "这个引擎不给出文本的概率，请换一个流程或引擎。",
    "This server has no encoder; search with bm25, or set retrieval.encoder.": (
        "服务器没有编码器；请用 bm25 检索，或设置 retrieval.encoder。"
    ),
    "This server has no cross-encoder; set retrieval.reranker to one.": (
        "服务器没有交叉编码器；请设置 retrieval.reranker，或换一个流程。"
    ),
    "Corpus {name} has no dense index; search with bm25, or build it with an encoder.": (
        "语料库 {name} 没有稠密索引；请用 bm25 检索，或用编码器构建它。"
    ),
    "Corpus {name} was built with another encoder ({built_with}); build it again.": (
        "语料库 {name} 是用另一个编码器（{built_with}）构建的，请重新构建。"
    ),
    "SPRING needs a model with its trained tokens [ref1] to [ref50] in the vocabulary, and this one has none: add them "
    "to the tokenizer of the model that they were trained for, their embeddings (yutaozhu94/SPRING on the model hub) "
    "to its embedding matrix, save both, and set engine.model to that folder (docs/flashrag.md has the lines), or "
    "choose naive.": (
        "SPRING 需要词表中有 [ref1] 到 [ref50] 这些训练过的词元的模型，而这个模型没有；"
        "请按 docs/flashrag.md 准备模型并设置 engine.model，或改用 naive。"
    ),
    # the page that compares
    "A comparison has {fewest} to {most} columns; this one has {n}.": "对比可有 {fewest} 到 {most} 列，这个有 {n} 列。",
    "You may have {n} answers at once: compare with so many columns at most.": (
        "你同时最多可有 {n} 个回答，请减少列数。"
    ),
    "This comparison is blind: vote first, then change its columns.": "这是盲评：请先投票，再更改各列。",
    "You have voted, and the names are shown: the vote stays.": "你已投票，名称也已显示，投票不能再改。",
    "You have voted on these answers; the vote stays.": "你已对这些回答投票，投票不能再改。",
    "The answers are still being written; vote when all have ended.": "回答还没写完，请等全部结束后再投票。",
    "A vote has up to {n} reasons of 1 to {limit} characters.": "投票最多附 {n} 条理由，每条 1 到 {limit} 个字符。",
    "The comment has {n} characters; shorten it to {limit}.": "评论有 {n} 个字符，请缩短到 {limit} 个以内。",
}
