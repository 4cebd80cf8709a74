"""The server that the official conformance suite wants to find, behind our HTTP server: run by `mcp_conformance`.

Left out is what no town does: asking the client for samples, for input or for its roots, and logging to it.
"""

from __future__ import annotations

import json
import os
from typing import Any

import trio
from mcp import MCPError
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    INVALID_PARAMS,
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    EmptyResult,
    GetPromptResult,
    ImageContent,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
    Tool,
)

from tinytown.web.connection import Patience
from tinytown.web.serve import Server as HttpServer
from tinytown.web.sockets import listen

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
WHOLE_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def text(said: str) -> TextContent:
    return TextContent(text=said)


def embedded(uri: str, kind: str, said: str) -> EmbeddedResource:
    return EmbeddedResource(resource=TextResourceContents(uri=uri, mime_type=kind, text=said))


IMAGE = ImageContent(data=PNG, mime_type="image/png")
RESULTS: dict[str, list[Any]] = {
    "test_simple_text": [text("This is a simple text response for testing.")],
    "test_image_content": [IMAGE],
    "test_audio_content": [AudioContent(data=WAV, mime_type="audio/wav")],
    "test_embedded_resource": [
        embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ],
    "test_multiple_content_types": [
        text("Multiple content types test:"),
        IMAGE,
        embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
    "test_error_handling": [text("This tool intentionally returns an error for testing")],
    "test_tool_with_progress": [text("done")],
    "json_schema_2020_12_tool": [text("done")],
}


async def list_tools(context: Any, params: Any) -> ListToolsResult:
    schemas = {"json_schema_2020_12_tool": WHOLE_SCHEMA}
    return ListToolsResult(
        tools=[
            Tool(name=name, description=name, input_schema=schemas.get(name, {"type": "object"})) for name in RESULTS
        ]
    )


async def call_tool(context: Any, params: Any) -> CallToolResult:
    if params.name not in RESULTS:
        raise MCPError(INVALID_PARAMS, "Unknown tool")
    if params.name == "test_tool_with_progress":
        for progress in (0, 50, 100):
            await context.session.report_progress(progress, 100)
            await trio.sleep(0.05)
    return CallToolResult(content=RESULTS[params.name], is_error=params.name == "test_error_handling")


async def list_resources(context: Any, params: Any) -> ListResourcesResult:
    names = ("static-text", "static-binary", "watched-resource")
    return ListResourcesResult(resources=[Resource(uri=f"test://{name}", name=name) for name in names])


async def list_templates(context: Any, params: Any) -> ListResourceTemplatesResult:
    return ListResourceTemplatesResult(
        resource_templates=[ResourceTemplate(uri_template="test://template/{id}/data", name="template")]
    )


async def read_resource(context: Any, params: Any) -> ReadResourceResult:
    uri = str(params.uri)
    found: TextResourceContents | BlobResourceContents
    if uri == "test://static-binary":
        found = BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
    elif uri.startswith("test://template/") and uri.endswith("/data"):
        place = uri.removeprefix("test://template/").removesuffix("/data")
        said = json.dumps({"id": place, "templateTest": True, "data": f"Data for ID: {place}"})
        found = TextResourceContents(uri=uri, mime_type="application/json", text=said)
    elif uri in ("test://static-text", "test://watched-resource"):
        said = "This is the content of the static text resource."
        found = TextResourceContents(uri=uri, mime_type="text/plain", text=said)
    else:
        raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})
    return ReadResourceResult(contents=[found])


async def subscribe(context: Any, params: Any) -> EmptyResult:
    return EmptyResult()


async def list_prompts(context: Any, params: Any) -> ListPromptsResult:
    arguments = {
        "test_simple_prompt": (),
        "test_prompt_with_arguments": ("arg1", "arg2"),
        "test_prompt_with_embedded_resource": ("resourceUri",),
        "test_prompt_with_image": (),
    }
    return ListPromptsResult(
        prompts=[
            Prompt(name=name, arguments=[PromptArgument(name=each, required=True) for each in wanted])
            for name, wanted in arguments.items()
        ]
    )


async def get_prompt(context: Any, params: Any) -> GetPromptResult:
    given = params.arguments or {}
    contents: dict[str, list[Any]] = {
        "test_simple_prompt": [text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments": [
            text(f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'")
        ],
        "test_prompt_with_embedded_resource": [
            embedded(given.get("resourceUri", ""), "text/plain", "Embedded resource content for testing."),
            text("Please process the embedded resource above."),
        ],
        "test_prompt_with_image": [IMAGE, text("Please analyze the image above.")],
    }
    if params.name not in contents:
        raise MCPError(INVALID_PARAMS, "Unknown prompt")
    return GetPromptResult(messages=[PromptMessage(role="user", content=each) for each in contents[params.name]])


async def serve(ready: int) -> None:
    """Serve it; writes the port to the descriptor `ready`."""
    server = Server(
        "fixture",
        version="1",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=subscribe,
        on_unsubscribe_resource=subscribe,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )
    manager = StreamableHTTPSessionManager(server)
    (listener,) = await listen("127.0.0.1", 0, None)
    assert isinstance(listener, trio.SocketListener)
    patience = Patience(idle=60.0, write=60.0)
    http = HttpServer(manager.handle_request, [listener], patience=patience, grace=1.0, most=200)
    async with manager.run():
        os.write(ready, f"{listener.socket.getsockname()[1]}\n".encode())
        await http.run(trio.Event())
